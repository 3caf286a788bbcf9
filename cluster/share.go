package cluster

import (
	"math/rand/v2"

	"larder/keys"
)

// shareSample is how many hashes a share is estimated from. The error is a
// third of a percent of the share at three members, 3 % of it at fifty.
const shareSample = 1 << 16

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

// Changes returns how often the ring has changed since the node started.
func (c *Cluster) Changes() uint64 { return c.ring.Load().version - 1 }

// estimate returns each owner's part of the sample.
func (r *ring) estimate() []float64 {
	parts := make([]float64, len(r.owners))
	sample := rand.NewPCG(1, 2) // the same on every node and at every change
	for range shareSample {
		parts[keys.Heaviest(r.hashes, sample.Uint64())] += 1.0 / shareSample
	}
	return parts
}
