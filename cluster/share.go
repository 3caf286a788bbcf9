package cluster

import "time"

// Share is a member and the part of all hashes that the ring gives it.
type Share struct {
	Member
	// Part is between 0 and 1, estimated over a fixed sample of hashes.
	Part float64
}

// Shares returns the members, as Members does, and their parts. It works them
// out when it is asked for the first time after a change of the ring.
func (c *Cluster) Shares() []Share {
	r := c.ring.Load()
	parts := r.parts()
	shares := make([]Share, len(r.members))
	for i, m := range r.members {
		shares[i] = Share{Member: m, Part: parts[i]} // where there are members, they are the owners
	}
	return shares
}

// Part returns the part of all hashes that this node owns, as Shares does: 0
// while it is leaving, 1 if it is alone.
func (c *Cluster) Part() float64 {
	r := c.ring.Load()
	if r.self < 0 {
		return 0
	}
	return r.parts()[r.self]
}

// Woke returns when this process last ran again after it was stopped for more than a
// second, or had no time to run; zero if it never was.
func (c *Cluster) Woke() time.Time { return c.port.Woke() }

// Changes returns how often the ring has changed since the node started.
func (c *Cluster) Changes() uint64 { return c.ring.Load().version - 1 }
