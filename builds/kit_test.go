package builds

import (
	"fmt"
	"testing"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// bench is a table, with a clock and a store that the test moves by hand.
type bench struct {
	t    *testing.T
	now  time.Time
	held *store.Head // what the key holds; nil is nothing
	tbl  *table
	n    uint64 // of the last statement
	said map[string][]attached
	seen map[string]uint64
}

var key = keys.Key{Org: "acme", Service: keys.Objects, Name: "k"}

func newBench(t *testing.T) *bench {
	return &bench{
		t: t, now: time.Unix(1_700_000_000, 0), tbl: newTable("here", time.Minute, limits{keys: 8, names: 8}),
		said: map[string][]attached{}, seen: map[string]uint64{},
	}
}

// who is somebody who may write.
func who(id string) attached { return attached{ID: id, Nonce: 1, User: "user of " + id, Writer: true} }

// say has a node name all who are attached to it, and looks what has to be looked up.
func (b *bench) say(node string, all ...attached) {
	b.t.Helper()
	b.sayOnly(node, all...)
	b.look()
}

func (b *bench) sayOnly(node string, all ...attached) {
	b.t.Helper()
	b.n++
	b.said[node] = all
	if _, err := b.tbl.say(b.now, node, key, statement{Number: b.n, Seen: b.seen[node], Attached: all}); err != nil {
		b.t.Fatal(err)
	}
}

// look ends all looks that have begun.
func (b *bench) look() {
	for len(b.tbl.looks) > 0 {
		k := b.tbl.looks[0]
		b.tbl.looks = b.tbl.looks[1:]
		if b.held == nil {
			b.tbl.looked(b.now, k, store.Head{}, fmt.Errorf("look: %w", store.ErrNotFound))
		} else {
			b.tbl.looked(b.now, k, *b.held, nil)
		}
	}
}

// told is what somebody hears at a node, which has taken that in then.
func (b *bench) told(node, id string) Verdict {
	st := b.tbl.keys[key]
	if st == nil {
		return Verdict{}
	}
	b.seen[node] = st.version
	return st.view(b.now, node).Told[id].Verdict
}

func (b *bench) want(node, id string, kind Kind) Verdict {
	b.t.Helper()
	v := b.told(node, id)
	if v.Kind != kind {
		b.t.Fatalf("%s is told %+v, want %s", id, v, kind)
	}
	return v
}

// takes is who a node names once it has taken a grant.
func (b *bench) takes(node, id string) attached {
	b.t.Helper()
	a := who(id)
	a.Claim = b.want(node, id, Granted).Claim
	return a
}

// pass lets time pass, tick by tick.
func (b *bench) pass(d time.Duration) {
	for range d / tickEvery {
		b.now = b.now.Add(tickEvery)
		b.tbl.tick(b.now)
	}
	b.look()
}

// put does a write under a claim; empty is a write without.
func (b *bench) put(claim, version string) {
	b.t.Helper()
	if !b.tbl.mark(key, claim) {
		b.t.Fatal("the write is refused at the mark")
	}
	b.held = &store.Head{Version: version, Write: "write of " + version, Modified: b.now}
	b.tbl.unmark(b.now, key, claim, heads.Outcome{Done: true, Known: heads.Known{Head: *b.held}})
	b.look()
}

func (b *bench) delete() {
	b.tbl.mark(key, "")
	b.held = nil
	b.tbl.unmark(b.now, key, "", heads.Outcome{Done: true, Known: heads.Known{Absent: true}})
	b.look()
}

// ring changes the members, of which these are left besides this node.
func (b *bench) ring(n uint64, owns bool, members ...string) {
	b.tbl.ringChanged(b.now, n, func(keys.Key) bool { return owns }, func(id string) bool {
		for _, m := range members {
			if m == id {
				return true
			}
		}
		return false
	})
}

// outcomeNone is a write that the store has refused.
func outcomeNone() heads.Outcome { return heads.Outcome{} }
