package heads

import (
	"time"

	"larder/keys"
	"larder/store"
)

// Remember notes what the store said of k last, as a stale head: it is trusted no
// more than before, and what is live stays.
func (t *Table) Remember(k keys.Key, is Known) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remember(k, is)
}

// remember is Remember for a caller who holds mu.
func (s *shard) remember(k keys.Key, is Known) {
	now := time.Now()
	if _, live := s.live(k, now); live {
		return
	}
	if is.Absent {
		s.entries.remove(k)
		return
	}
	s.put(k, entry{Known: is, used: now})
}

// Last is the head that this node heard of last, if there is one, live or stale.
func (t *Table) Last(k keys.Key) (store.Head, bool) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.entries.get(k)
	if p == nil {
		return store.Head{}, false
	}
	e := s.entries.unpack(p)
	if e.Absent {
		return store.Head{}, false
	}
	return e.Head, true
}

// Forget trusts what is known of k no more. Lookups under way may still be kept.
func (t *Table) Forget(k keys.Key) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(k)
}

// forget is Forget for a caller who holds mu.
func (s *shard) forget(k keys.Key) {
	if p := s.entries.get(k); p != nil {
		p.forget()
	}
}
