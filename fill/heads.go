package fill

import (
	"sync"
	"time"

	"larder/keys"
	"larder/store"
)

const headShards = 256

// heads is the table of what this node knows of keys now.
type heads struct {
	shards [headShards]shard
}

// shard is one part of the table, by the key's hash.
//
// Every drop of a key raises the shard's generation. A lookup notes the
// generation when it starts and keeps its answer only if it is still the same
// when it ends. So:
//
//	lookup: asks the store, is told v1
//	                                     owner: revokes k here, drop raises the generation
//	                                     owner: uploads v2, acknowledges
//	lookup: generation differs, v1 is not kept
//	reader: asks again, gets v2
//
// One counter for many keys costs a few needless lookups and no memory.
type shard struct {
	mu      sync.Mutex // guards all below; held when the budgets' is taken, never after it
	max     int
	gen     uint64
	changed time.Time // when the ring changed last: writes that began before publish nothing
	entries map[keys.Key]*entry
	flights map[flightKey]*flight
	// The store may change these keys at any moment, so no head of one is kept:
	// those being written here, and those whose write ended without a known
	// outcome, until the store can no longer complete it.
	writing map[keys.Key]time.Time // since when
	unknown map[keys.Key]time.Time // until when
}

// entry is a head under a lease. One whose lease has ended, or that was dropped,
// is stale: never an answer, it only says whose bytes memory may hold.
type entry struct {
	known
	until time.Time // trusted before this, not after
	used  time.Time // last
	owned bool      // as the key's owner, against the store; otherwise as the owner granted it
}

// evictAmong is how many heads are looked at to find one that was not used for
// long: the least recently used of a few is nearly that of all (Redis does so).
const evictAmong = 8

func newHeads(limit int) *heads {
	h := &heads{}
	for i := range h.shards {
		h.shards[i] = shard{
			max:     max(1, limit/headShards),
			entries: map[keys.Key]*entry{},
			flights: map[flightKey]*flight{},
			writing: map[keys.Key]time.Time{},
			unknown: map[keys.Key]time.Time{},
		}
	}
	return h
}

// maxHeads is how many heads there is memory for, at half a kilobyte each, and
// beside a small tier some megabytes: a chunk without its head is of no use, and
// small chunks are many.
func maxHeads(memory int64) int {
	return int(min(max(memory/512, 64*headShards), 1<<20))
}

func (h *heads) of(k keys.Key) *shard { return &h.shards[k.Hash()%headShards] }

// live returns the entry of k if its lease runs. The caller holds mu.
func (s *shard) live(k keys.Key, now time.Time) (entry, bool) {
	e, ok := s.entries[k]
	if !ok || !now.Before(e.until) {
		return entry{}, false
	}
	e.used = now
	return *e, true
}

// keep stores an answer that a lookup began at generation gen has found, and
// says whether it is good now: then whoever asked before this moment may have
// it. asked is when the store, or the owner, was asked.
func (f *Filler) keep(s *shard, k keys.Key, gen uint64, asked time.Time, e entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, writing := s.writing[k]
	e.used = time.Now()
	if s.gen != gen || writing || s.isUnknown(k, asked) || !e.used.Before(e.until) || e.owned && !f.mayOwn(k) {
		return false
	}
	return s.put(k, e)
}

// mayOwn says whether this node may trust the store's answer as the key's owner.
func (f *Filler) mayOwn(k keys.Key) bool {
	_, self := f.ring.Owner(k.Hash())
	return self && len(*f.strangers.Load()) == 0
}

// isUnknown says whether a write of unknown outcome could still change k at
// that moment. The caller holds mu.
func (s *shard) isUnknown(k keys.Key, at time.Time) bool {
	until, ok := s.unknown[k]
	return ok && at.Before(until)
}

// markUnknown marks k for a time, and forgets the marks that are over. The caller holds mu.
func (s *shard) markUnknown(k keys.Key, d time.Duration) {
	now := time.Now()
	for other, until := range s.unknown {
		if now.After(until.Add(d)) { // longer than a lookup or a write that began under the mark
			delete(s.unknown, other)
		}
	}
	s.unknown[k] = now.Add(d)
}

// put stores an entry, at the cost of another if the shard is full: of a few,
// the one that was not used for longest, and sooner one whose lease has ended.
// The caller holds mu.
func (s *shard) put(k keys.Key, e entry) bool {
	if s.max == 0 {
		return false
	}
	if _, there := s.entries[k]; !there && len(s.entries) >= s.max {
		var victim keys.Key
		var since time.Time
		seen := 0
		for other, o := range s.entries { // in an order that is drawn anew each time
			used := o.used
			if !e.used.Before(o.until) {
				used = time.Time{}
			}
			if seen == 0 || used.Before(since) {
				victim, since = other, used
			}
			if seen++; seen == evictAmong {
				break
			}
		}
		delete(s.entries, victim)
	}
	s.entries[k] = &e
	return true
}

// drop forgets k, and makes lookups of it that are under way useless to later callers.
// The caller holds mu.
func (s *shard) drop(k keys.Key) {
	s.gen++
	s.forget(k)
}

// forget trusts what is known of k no more. The caller holds mu.
func (s *shard) forget(k keys.Key) {
	if e := s.entries[k]; e != nil {
		e.until, e.owned = time.Time{}, false
	}
}

// remember notes what the store said of k last, and trusts it no more than before:
// what is trusted stays.
func (h *heads) remember(k keys.Key, is known) {
	s := h.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remember(k, is)
}

// remember is heads.remember for who holds mu.
func (s *shard) remember(k keys.Key, is known) {
	now := time.Now()
	if _, live := s.live(k, now); live {
		return
	}
	if is.Absent {
		delete(s.entries, k)
		return
	}
	s.put(k, entry{known: is, used: now})
}

// last is the head that this node heard of last, if there is one, trusted or not.
func (f *Filler) last(k keys.Key) (store.Head, bool) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[k]
	if !ok || e.Absent {
		return store.Head{}, false
	}
	return e.Head, true
}

// Drop forgets the head of k because another node is about to write it. When
// it returns, no read that starts here later is answered from what was known
// before. It acknowledges a revocation.
func (f *Filler) Drop(k keys.Key) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(k)
}

// dropVersion forgets the head of k if it is this version, which the store
// says is gone.
func (f *Filler) dropVersion(k keys.Key, version keys.Version) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[k]; ok && versionOf(e.Head) == version {
		s.gen++
		delete(s.entries, k)
	}
}

// BeginWrite forgets the head of k and keeps this node from trusting or
// granting one until EndWrite. Writes of one key take turns, which is the
// caller's duty. It says whether k was known, under a live lease, to be there, and
// which head this node heard of last, trusted or not; the zero Head if of none.
func (f *Filler) BeginWrite(k keys.Key) (last store.Head, present bool) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e, live := s.live(k, now)
	if heard := s.entries[k]; heard != nil {
		last = heard.Head
	}
	s.drop(k)
	s.writing[k] = now
	return last, live && !e.Absent
}

// Outcome of a write, for EndWrite. The zero Outcome is a write that did not
// reach the store, or was refused by it.
type Outcome struct {
	// Unknown says that the store may still complete the write.
	Unknown bool
	// Done says that the write happened; then Head, or Absent, is what is there.
	Done   bool
	Head   store.Head
	Absent bool
	// Asked is when the store was asked.
	Asked time.Time
}

// EndWrite ends what BeginWrite began. A write that happened is published: it
// is this node's head of k, if the node owns k. Lookups that began during the
// write are not kept, since they may have seen the store before it. After an
// unknown outcome no head of k is trusted for the time that the store may take
// to complete it, whatever is written in that time.
func (f *Filler) EndWrite(k keys.Key, o Outcome) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(k)
	began := s.writing[k]
	delete(s.writing, k)
	switch {
	case o.Unknown:
		s.markUnknown(k, f.cfg.Revalidate)
	case !o.Done:
	case f.mayOwn(k) && began.After(s.changed) && !s.isUnknown(k, began):
		until := o.Asked.Add(f.cfg.Revalidate)
		s.put(k, entry{known: known{Head: o.Head, Absent: o.Absent}, until: until, used: time.Now(), owned: true})
	default:
		s.remember(k, known{Head: o.Head, Absent: o.Absent})
	}
}

// Forget drops every head, and keeps none from now on: the node is about to
// leave, and will not be told of writes any more.
func (f *Filler) Forget() {
	for i := range f.heads.shards {
		s := &f.heads.shards[i]
		s.mu.Lock()
		s.gen++
		s.max = 0
		clear(s.entries)
		s.mu.Unlock()
	}
}

// RingChanged takes in that the ring has changed, and that these members, by
// ID, are strangers: they were not members before, so they may have written
// without telling this node, and this one without telling them. Until there are
// none, the node keeps no head as an owner, and asks no stranger for one.
//
// A node forgets the heads that it owned and no longer owns, and all of them
// when there are strangers. Lookups that began before are not kept.
func (f *Filler) RingChanged(strangers map[string]bool) {
	if len(strangers) > 0 {
		f.strangers.Store(&strangers) // before any lookup can begin anew
	}
	for i := range f.heads.shards {
		s := &f.heads.shards[i]
		s.mu.Lock()
		s.gen++
		s.changed = time.Now()
		for k, e := range s.entries {
			if len(strangers) > 0 || e.owned && !f.mayOwn(k) {
				s.forget(k)
			}
		}
		s.mu.Unlock()
	}
	f.strangers.Store(&strangers) // after no lookup and no write from before can be kept
}

// grant gives another node a lease on the head of k, if this node has one to
// give: what is known now, and for how long that may be trusted from the moment
// it was asked for.
func (f *Filler) grant(k keys.Key) (known, time.Duration) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e, ok := s.live(k, now)
	if !ok || !e.owned {
		return known{}, 0
	}
	return e.known, min(f.cfg.Lease, e.until.Sub(now))
}

// count is how many heads are trusted now.
func (h *heads) count() (n int64) {
	now := time.Now()
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for _, e := range s.entries {
			if now.Before(e.until) {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
