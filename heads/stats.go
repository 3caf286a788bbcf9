package heads

import (
	"sync/atomic"
	"time"
)

// Stats are what a table holds, and what it did since the node started.
type Stats struct {
	// Live heads.
	Live int64
	// Granted leases to other nodes.
	Granted int64
	// Revocations that arrived: those that this node acknowledged, and those that
	// it did not yet, because it was writing the key itself, or because who asked had
	// not settled since it was seen dead.
	Dropped, Refused int64
	// Unsettled members.
	Unsettled int64
	// Broken invariants: faults of this program.
	Broken int64
}

// counts are what Stats is made of.
type counts struct{ granted, dropped, refused, broken atomic.Int64 }

// Stats counts.
func (t *Table) Stats() Stats {
	return Stats{
		Live:      t.live(),
		Granted:   t.counts.granted.Load(),
		Dropped:   t.counts.dropped.Load(),
		Refused:   t.counts.refused.Load(),
		Unsettled: int64(len(*t.unsettled.Load())),
		Broken:    t.counts.broken.Load(),
	}
}

// live is how many heads are live.
func (t *Table) live() (n int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		now := s.entries.since(time.Now())
		for _, p := range s.entries.byKey {
			if now < p.until {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
