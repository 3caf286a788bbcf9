package heads

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"larder/cluster"
)

// vouching is what a node can say of its past to a member that it has to settle with.
// Settling's mu guards it, but for wrote.
//
// A write makes untrue what a member trusts as owner only if it was sent by a node in
// whose ring that member was not: in every ring with it, it is the owner still, or the
// node is, or somebody else, and then it is told. So a member may trust again what it
// trusted before, if neither a newcomer nor anybody whom it was together with has sent
// such a write:
//
//	here:   owns k, trusts v1; d joins
//	c:      alone with d, sends v2 of k and dies; nobody here has heard of c
//	d:      has sent nothing, but it had c for a member: it does not vouch
type vouching struct {
	wrote  atomic.Bool     // an upload was marked
	always map[string]bool // the members, by ID, that were so at every upload
	lost   bool            // a member has gone: what it sent is not known
}

// ringChanged takes in which members there were, and are now. They have been looked up
// before, so that an upload that is marked after wrote was read finds the owner among them.
func (v *vouching) ringChanged(was, now map[string]bool) {
	for id := range was {
		v.lost = v.lost || !now[id]
	}
	if !v.wrote.Load() {
		v.always = now
	}
}

// vouch is what this node tells a member: the members of its ring, by ID, if it can vouch to
// that one; else nothing. It cannot in a ring that it has not taken in.
func (t *Table) vouch(to string) string {
	s := &t.settling
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost || !s.always[to] || s.changes != t.cluster.Changes() {
		return ""
	}
	return strings.Join(slices.Collect(maps.Keys(s.met)), ",")
}

// diedBefore reports whether an earlier start of a member was seen dead lately. It may have
// gone on alone, and written, and no later start knows of that.
func (t *Table) diedBefore(m cluster.Member) bool {
	return slices.ContainsFunc(t.cluster.Departed(rememberDead), func(d cluster.Departure) bool { return d.Member.Name == m.Name })
}

// believes reports whether a member vouches, and was together with nobody but members of
// this node, who speak for themselves. The caller holds mu.
func (s *settling) believes(vouch string) bool {
	for id := range strings.SplitSeq(vouch, ",") {
		if !s.met[id] {
			return false
		}
	}
	return true
}
