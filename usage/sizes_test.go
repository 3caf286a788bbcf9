package usage

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"larder/keys"
	"larder/store"
)

// running are members that run until stop.
func running(t *testing.T, m *member) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func (n *network) foreign(t *testing.T, k keys.Key, size int) {
	t.Helper()
	if _, err := n.store.Put(t.Context(), k.Place(), store.Write{Body: make([]byte, size)}); err != nil {
		t.Fatal(err)
	}
}

// wantAll holds that all members count what is there.
func (n *network) wantAll(t *testing.T, when string) {
	t.Helper()
	for _, m := range n.members {
		if r := m.report(t); r.Sum != n.there() {
			t.Errorf("%s: %s counts %+v, and %+v are there", when, m.self.Name, r.Sum, n.there())
		}
	}
}

// What is in the bucket before the first write is counted, writes are counted by
// service and writer, and a node that ends well needs no walk.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, max_bytes: 1GB}")
		for i := range 2500 {
			n.foreign(t, key(t, fmt.Sprintf("old-%d", i)), 3)
		}
		n.foreign(t, keys.Key{Org: "acme2", Service: keys.Objects, Name: "x"}, 7)
		a, b := n.add(), n.add()
		stopA, stopB := running(t, a), running(t, b)
		time.Sleep(3 * time.Second)
		n.wantAll(t, "at first")
		for i := range 50 {
			if err := a.put(t.Context(), key(t, fmt.Sprintf("new-%d", i)), "ada", 10); err != nil {
				t.Fatal(err)
			}
			if err := b.put(t.Context(), key(t, fmt.Sprintf("new-%d", i)), "bob", 20); err != nil {
				t.Fatal(err)
			}
		}
		n.wantAll(t, "after writes")
		if r := a.report(t); r.Writers["ada"] != (Sum{}) || r.Writers["bob"] != (Sum{1000, 50}) || r.Writers[""] != (Sum{7500, 2500}) || r.Counted == nil {
			t.Errorf("%+v", r)
		}
		walks := a.Stats().Walks + b.Stats().Walks
		stopA()
		if err := a.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.kill(a)
		time.Sleep(2 * time.Minute)
		n.wantAll(t, "after a good end")
		if more := a.Stats().Walks + b.Stats().Walks; more != walks || walks != 1 {
			t.Errorf("%d walks, and %d after a node ended well", walks, more)
		}
		stopB()
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.kill(b)
		c := n.add()
		stopC := running(t, c)
		time.Sleep(3 * time.Second)
		n.wantAll(t, "after a restart")
		if c.Stats().Walks != 0 {
			t.Error("a restart walks")
		}
		stopC()
	})
}

// Nodes that are killed take counts with them, which a walk puts right.
func TestKilledNodesAreMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, max_bytes: 1GB}")
		a, b := n.add(), n.add()
		stopA, stopB := running(t, a), running(t, b)
		time.Sleep(3 * time.Second)
		put := func(m *member, name string) {
			t.Helper()
			if err := m.put(t.Context(), key(t, name), "ada", 10); err != nil {
				t.Fatal(err)
			}
		}
		put(a, "one")
		time.Sleep(time.Minute)
		stopA()
		put(a, "two") // nobody hears of it
		n.kill(a)
		time.Sleep(time.Minute)
		n.wantAll(t, "after one was killed")
		put(b, "three")
		stopB()
		n.kill(b)
		c := n.add()
		stopC := running(t, c)
		time.Sleep(5 * time.Second)
		n.wantAll(t, "after all were killed")
		stopC()
	})
}

// A write of unknown outcome is looked for.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, max_bytes: 1GB}")
		a := n.add()
		stop := running(t, a)
		time.Sleep(3 * time.Second)
		k, is := key(t, "k"), store.Head{Size: 10}
		room, err := a.Reserve(t.Context(), k, nil, &is)
		if err != nil {
			t.Fatal(err)
		}
		n.foreign(t, k, 10)
		room.Unknown()
		room.Cancel()
		time.Sleep(time.Minute)
		n.wantAll(t, "after a while")
		stop()
	})
}

// A walk amid writes makes nothing worse.
func TestWalkAmidWrites(t *testing.T) {
	n := newNetwork(t, "- {org: acme, max_bytes: 1GB}")
	a, b := n.add(), n.add()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			if err := b.put(t.Context(), key(t, fmt.Sprintf("%d", i%500)), "ada", i%50+1); err != nil {
				t.Error(err)
			}
		}
	}()
	for walking := true; walking; {
		select {
		case <-done:
			walking = false
		default:
		}
		a.known(t.Context(), "acme")
		if err := a.walk(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	n.wantAll(t, "at the end")
}
