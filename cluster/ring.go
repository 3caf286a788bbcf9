package cluster

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"

	"larder/keys"
	"larder/peer"
)

// shareSample is how many hashes a share is estimated from. The error is a
// third of a percent of the share at three members, 3 % of it at fifty.
const shareSample = 1 << 16

// record is what this node knows of one start of one node.
type record struct {
	Member
	gossipAddr string
	leaving    bool       // it said goodbye
	replaced   bool       // a later start of the same name is live
	pool       *peer.Pool // its end is the member's death, as this node sees it
}

// ring is one immutable state of the view: who is a member, and who owns what.
type ring struct {
	version uint64
	members []Member         // live and not leaving, one for each name, sorted by name
	owners  []Member         // members, or only this node when there are none
	hashes  []uint64         // of the owners' names
	self    int              // where this node is among the owners, or -1
	parts   func() []float64 // the owners' parts of all hashes, worked out once
}

// newRing makes the ring of records. It depends on what they hold, not on their
// order, so that members that know of the same nodes agree on every owner.
func newRing(version uint64, self Member, records map[string]*record) *ring {
	r := &ring{version: version, self: -1}
	for _, rec := range newest(records) {
		if !rec.leaving {
			r.members = append(r.members, rec.Member)
		}
	}
	slices.SortFunc(r.members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	r.owners = r.members
	if len(r.owners) == 0 {
		r.owners = []Member{self}
	}
	for i, m := range r.owners {
		r.hashes = append(r.hashes, keys.HashMember(m.Name))
		if m.ID == self.ID {
			r.self = i
		}
	}
	r.parts = sync.OnceValue(r.estimate)
	return r
}

// estimate returns each owner's part of the sample.
func (r *ring) estimate() []float64 {
	parts := make([]float64, len(r.owners))
	sample := rand.NewPCG(1, 2) // the same on every node and at every change
	for range shareSample {
		parts[keys.Heaviest(r.hashes, sample.Uint64())] += 1.0 / shareSample
	}
	return parts
}

// newest picks the latest start of each name, leaving or not: a node that
// started again and is leaving must not hand its name back to the start before.
func newest(records map[string]*record) map[string]*record {
	byName := make(map[string]*record, len(records))
	for _, rec := range records {
		if was := byName[rec.Name]; was == nil || rec.newerThan(was.Member) {
			byName[rec.Name] = rec
		}
	}
	return byName
}

// newerThan orders two starts of one name.
func (m Member) newerThan(o Member) bool {
	return cmp.Or(cmp.Compare(m.Incarnation, o.Incarnation), cmp.Compare(m.ID, o.ID)) > 0
}

// Owner returns the member that owns hash, and whether it is this node. It
// takes no lock. A node that is leaving owns nothing unless it is alone.
//
// Ownership is rendezvous hashing (Thaler and Ravishankar, 1998): every
// member's name is weighed against the hash and the heaviest owns it, so that a
// member that comes or goes moves only what it gains or leaves behind.
func (c *Cluster) Owner(hash uint64) (m Member, self bool) {
	r := c.ring.Load()
	i := keys.Heaviest(r.hashes, hash)
	return r.owners[i], i == r.self
}

// Next returns the members that would own hash if those before them were not there, n at
// most: after the owner, in the ring's order. While the owner has just come, or come back,
// they are who owned hash before it.
func (c *Cluster) Next(hash uint64, n int) []Member {
	r := c.ring.Load()
	var next []Member
	left := slices.Clone(r.hashes)
	members := slices.Clone(r.owners)
	for owner := true; len(members) > 0 && len(next) < n; owner = false {
		i := keys.Heaviest(left, hash)
		if !owner {
			next = append(next, members[i])
		}
		left, members = slices.Delete(left, i, i+1), slices.Delete(members, i, i+1)
	}
	return next
}

// Members returns the members that are live and not leaving, sorted by name,
// this node among them. Of two with the same name only the later start is a
// member. A node that does not find itself here is leaving or has been
// replaced, and the others no longer wait for leases that it may hold.
func (c *Cluster) Members() []Member { return slices.Clone(c.ring.Load().members) }

// Member returns the member with an ID. ok is false when this node does not
// count it among Members, or not yet: then a Fanout to Members does not reach
// it.
func (c *Cluster) Member(id string) (m Member, ok bool) {
	members := c.ring.Load().members
	for i := range members { // without a copy of each
		if members[i].ID == id {
			return members[i], true
		}
	}
	return Member{}, false
}

// rebuild replaces the ring if the members have changed. c.mu must be held.
func (c *Cluster) rebuild() {
	was := c.ring.Load()
	now := newRing(was.version+1, c.self, c.records)
	if slices.Equal(was.members, now.members) {
		return
	}
	c.ring.Store(now)
	select {
	case c.changed <- struct{}{}:
	default:
	}
}
