package heads

import (
	"time"

	"larder/keys"
)

// Outlasts is how long a lease is waited out: another node's clock may run slower than
// this one's by one part in a hundred, and a little for rounding.
func Outlasts(lease time.Duration) time.Duration { return lease + lease/100 + 10*time.Millisecond }

// grants are the keys on which a lease was granted lately, in two generations: of a key
// that is in neither none can run. Its shard's mu guards it.
type grants struct {
	now, before map[[16]byte]struct{}
	since       time.Time // of now
}

func newGrants() grants {
	return grants{now: map[[16]byte]struct{}{}, before: map[[16]byte]struct{}{}}
}

// note notes a lease that is granted at a time, and is over after as long as that.
func (g *grants) note(k keys.Key, at time.Time, outlasts time.Duration) {
	g.turn(at, outlasts)
	g.now[k.Digest()] = struct{}{}
}

// mayRun reports whether a lease on k that was granted may run at a time.
func (g *grants) mayRun(k keys.Key, at time.Time, outlasts time.Duration) bool {
	g.turn(at, outlasts)
	_, now := g.now[k.Digest()]
	_, before := g.before[k.Digest()]
	return now || before
}

// turn begins a new generation if it is time.
func (g *grants) turn(at time.Time, outlasts time.Duration) {
	age := at.Sub(g.since)
	if age < outlasts {
		return
	}
	g.now, g.before, g.since = g.before, g.now, at
	clear(g.now)
	if age >= 2*outlasts {
		clear(g.before)
	}
}

// stopDoubted is how long after a stop a node may have been taken for dead without having
// been asked to settle.
const stopDoubted = 30 * time.Second

// calm is since when a node has been in a ring, and settled with all in it.
type calm struct {
	changes uint64 // the ring, by how often it had changed
	since   time.Time
}

// MayBeLeased reports whether another node may hold a lease on the key that was granted
// before this write began.
//
// If every member has taken this node for one for as long as a lease, the leases on what
// it owns are those that it has granted itself: each has said so as it settled, and one
// that has lost this node since asks it to settle when it is back. A process that was
// stopped may have been lost, and not been asked yet: to tell the others, and to wait for
// who does not take it for a member, gives them the time for that.
func (w *Turn) MayBeLeased() bool {
	t := w.table
	c := t.calm.Load()
	return w.granted || !t.Settled() || c.changes != t.cluster.Changes() ||
		time.Since(c.since) < Outlasts(t.cfg.Lease) || time.Since(t.cluster.Woke()) < stopDoubted
}
