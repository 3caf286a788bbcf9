package heads

import (
	"time"

	"larder/keys"
)

// Must reports whether something holds that the protocol never lets be otherwise. If it
// does not, there is a fault in this program: nothing is trusted of the key from here
// on, it is counted and logged, and the caller does not go on.
func (t *Table) Must(k keys.Key, holds bool, what string) bool {
	if holds {
		return true
	}
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.must(s, k, false, what)
}

// must is Must for a caller that holds the shard's mu.
func (t *Table) must(s *shard, k keys.Key, holds bool, what string) bool {
	if !holds {
		s.drop(k)
		t.counts.broken.Add(1)
		t.invariants.Error().Stringer("key", k).Str("invariant", what).Msg("invariant broken: a fault in this program, whose head of the key is dropped")
	}
	return holds
}

// isSound reports whether a live head may be an answer.
func (t *Table) isSound(s *shard, k keys.Key, e entry, now time.Time) bool {
	q, left := s.queues[k], e.until.Sub(now)
	return t.must(s, k, q == nil || !q.writing, "no head is live while the key is written") &&
		t.must(s, k, e.owned || left <= t.cfg.Lease, "no lease is longer than --lease") &&
		t.must(s, k, left <= max(t.cfg.Revalidate, t.cfg.Lease), "no head is trusted for longer than --revalidate") &&
		t.must(s, k, e.Absent || e.Head.Version != "", "a live head names a version, or absence") &&
		t.must(s, k, e.Ends.IsZero() || !e.until.After(e.Ends), "no head outlasts its object") &&
		t.must(s, k, e.Head.Size >= 0, "no size is negative") &&
		t.must(s, k, s.max > 0, "no head is live once the node has retired")
}
