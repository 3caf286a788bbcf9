package heads

import (
	"testing"
	"time"

	"larder/cluster"
)

// Rules 15 and 16: what a node trusted as owner rests when a member comes, and is trusted
// again if nobody can have made it untrue.
func TestWhatRests(t *testing.T) {
	for name, c := range map[string]struct {
		come func(t *testing.T, net *network, a *node) // how c comes to be in a cluster with a and b
		want string                                    // what a trusts in the end, of v1
	}{
		"one that has just started": {func(t *testing.T, net *network, a *node) {
			net.add(t, "c", "a", "b", "c")
			a.sees("a", "b", "c")
		}, "v1"},
		"one that the others see first": {func(t *testing.T, net *network, a *node) {
			a.sees("a", "b", "c")
			time.Sleep(time.Second)
			net.add(t, "c", "a", "b", "c")
		}, "v1"},
		"one that wrote once all were its members": {func(t *testing.T, net *network, a *node) {
			c := net.add(t, "c", "c", "a", "b") // takes itself for the owner
			c.upload(t).End(done("v2"))
			a.sees("a", "b", "c")
		}, "v1"},
		"one that wrote alone": {func(t *testing.T, net *network, a *node) {
			c := net.add(t, "c", "c")
			c.upload(t).End(done("v2"))
			c.sees("a", "b", "c")
			a.sees("a", "b", "c")
		}, ""},
		"one that wrote before a was its member": {func(t *testing.T, net *network, a *node) {
			c := net.add(t, "c", "c", "b")
			w := c.upload(t)
			c.sees("a", "b", "c")
			w.End(done("v2"))
			a.sees("a", "b", "c")
		}, ""},
		"one that has lost a member": {func(t *testing.T, net *network, a *node) {
			c := net.add(t, "c", "c", "d")
			c.sees("a", "b", "c")
			a.sees("a", "b", "c")
		}, ""},
		"one that is losing a member": {func(t *testing.T, net *network, a *node) {
			c := net.add(t, "c", "a", "b", "c", "d")
			c.mu.Lock()
			c.view = []string{"a", "b", "c"} // and has not taken it in yet
			c.mu.Unlock()
			a.sees("a", "b", "c")
		}, ""},
		"one with a member that a does not know": {func(t *testing.T, net *network, a *node) {
			net.add(t, "c", "a", "b", "c", "d")
			a.sees("a", "b", "c")
		}, ""},
		"one that goes before it has settled": {func(_ *testing.T, _ *network, a *node) {
			a.sees("a", "b", "c")
			a.sees("a", "b")
		}, ""},
		"one whose earlier start was seen dead": {func(t *testing.T, net *network, a *node) {
			a.mu.Lock()
			a.gone = append(a.gone, cluster.Departure{Member: cluster.Member{Name: "c", ID: "c before"}, At: time.Now()})
			a.mu.Unlock()
			net.add(t, "c", "a", "b", "c")
			a.sees("a", "b", "c")
		}, ""},
		"one of an older release": {func(t *testing.T, net *network, a *node) {
			c := net.add(t, "c", "a", "b", "c")
			c.mu.Lock()
			c.mute = true
			c.mu.Unlock()
			a.sees("a", "b", "c")
		}, ""},
		"one that owns the key": {func(t *testing.T, net *network, a *node) {
			net.add(t, "c", "c", "a", "b")
			a.sees("c", "a", "b")
		}, ""},
		"two, of which one has written": {func(t *testing.T, net *network, a *node) {
			d := net.add(t, "d", "d")
			d.upload(t).End(done("v2"))
			net.add(t, "c", "a", "b", "c", "d")
			d.sees("a", "b", "c", "d")
			a.sees("a", "b", "c", "d")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, net *network) {
				a, b := pair(t, net)
				a.owns(t, "v1")
				c.come(t, net, a)
				if seen := a.Members(); len(seen) > 2 {
					var ids []string
					for _, m := range seen {
						ids = append(ids, m.ID)
					}
					b.sees(ids...)
				}
				time.Sleep(time.Second)
				if !a.Settled() {
					t.Error("not settled")
				}
				a.want(t, c.want)
			})
		})
	}
}

// Rule 15: what rests is no answer, is not granted, and may be dropped.
func TestWhatRestsIsNotTrusted(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		a.sees("a", "b", "c") // which cannot be reached
		a.want(t, "")
		if _, lease := a.Grant(key(), "b"); lease > 0 {
			t.Error("granted")
		}
		if _, ok := a.Owned(key()); ok {
			t.Error("held as the owner's")
		}
		if h, ok := a.Last(key()); !ok || h.Version != "v1" {
			t.Errorf("the last head that it heard of is %+v, %v", h, ok)
		}
		a.Drop(key())
		net.add(t, "c", "a", "b", "c")
		time.Sleep(time.Second)
		if !a.Settled() {
			t.Fatal("not settled")
		}
		a.want(t, "")
	})
}

// Rule 4: nothing rests past its end.
func TestWhatRestsEnds(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		a.sees("a", "b", "c")
		time.Sleep(revalidate)
		net.add(t, "c", "a", "b", "c")
		time.Sleep(time.Second)
		if !a.Settled() {
			t.Fatal("not settled")
		}
		a.want(t, "")
	})
}
