package builds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"larder/cluster"
	"larder/fill"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// alone is a cluster of this node alone.
type alone struct{ changes atomic.Uint64 }

func (*alone) Self() cluster.Member                      { return cluster.Member{Name: "here", ID: "here"} }
func (a *alone) Owner(uint64) (cluster.Member, bool)     { return a.Self(), true }
func (a *alone) Members() []cluster.Member               { return []cluster.Member{a.Self()} }
func (a *alone) Member(id string) (cluster.Member, bool) { return a.Self(), id == "here" }
func (a *alone) Changes() uint64                         { return a.changes.Load() }
func (*alone) Ask(context.Context, cluster.Member, cluster.Question) (cluster.Answer, error) {
	return cluster.Answer{}, cluster.ErrUnreachable
}

// nothing is a store where nothing is.
type nothing struct{}

func (n nothing) StatHere(k keys.Key) (store.Head, bool, error) {
	h, _, err := n.Stat(context.Background(), k, fill.Options{})
	return h, true, err
}

func (nothing) Stat(context.Context, keys.Key, fill.Options) (store.Head, chunks.Source, error) {
	return store.Head{}, chunks.S3, fmt.Errorf("look: %w", store.ErrNotFound)
}

// startBuilds makes Builds of a node that is alone.
func startBuilds(t testing.TB, c *alone) *Builds {
	b := New(Config{Silence: remembered, Secrets: func() [][]byte { return [][]byte{[]byte("secret")} }}, nothing{}, c)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

// until waits until something is said, and returns it.
func until(t testing.TB, v *Visit, kinds ...Kind) State {
	t.Helper()
	for {
		s, changed := v.State()
		for _, k := range kinds {
			if s.Kind == k {
				return s
			}
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("is told %+v, want one of %v", s, kinds)
		}
	}
}

func attach(t testing.TB, b *Builds, k keys.Key, r Request) *Visit {
	t.Helper()
	v, err := b.Attach(k, r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// One of several callers at a node has the claim; its end passes it on, and a put wakes
// who waits.
func TestAttach(t *testing.T) {
	b := startBuilds(t, &alone{})
	first := Request{User: "ada", Writer: true, Stream: true}
	v1 := attach(t, b, key, first)
	c := until(t, v1, Granted).Claim
	second := Request{User: "bob", Writer: true, Waiter: "w", Stream: true}
	v2, v3 := attach(t, b, key, second), attach(t, b, key, Request{User: "cyd", Writer: true})
	until(t, v2, Waits)
	until(t, v3, Waits)
	if all := b.List(t.Context(), key.Org, key.Service, ""); len(all) != 1 || all[0].Builder != "ada" || all[0].Waiting != 2 {
		t.Errorf("listed: %+v", all)
	}
	v1.Detach(first, true)
	next := until(t, v2, Granted).Claim
	if next.Name == c.Name || b.Stats().TookOver != 1 {
		t.Errorf("passed on: %+v, %+v", next, b.Stats())
	}
	if !b.Mark(key, next.Name) {
		t.Fatal("its put is refused")
	}
	b.Unmark(key, next.Name, heads.Outcome{Done: true, Known: heads.Known{Head: store.Head{Version: "v"}}})
	until(t, v3, Built)
	until(t, v2, Built)
	if b.Mark(key, next.Name) {
		t.Error("a claim that has ended may write")
	}
}

// Those who are named together are named in the order in which they came.
func TestOrderOfStatement(t *testing.T) {
	r, b := startRemote(t)
	const callers = 50
	b.mu.Lock()
	g := &group{key: key, visits: map[string]*Visit{}, scheduled: true} // all are named at once
	b.groups[key] = g
	b.mu.Unlock()
	for i := range callers {
		attach(t, b, key, Request{User: fmt.Sprint(i), Writer: true})
	}
	go b.say(g) // ends with the test
	for i, a := range (<-r.asked).said.Attached {
		if a.User != fmt.Sprint(i) {
			t.Fatalf("caller %s is number %d", a.User, i)
		}
	}
}

// What is told while nobody is there is told to who comes back by the same name.
func TestToldWhenBack(t *testing.T) {
	b := startBuilds(t, &alone{})
	v := attach(t, b, key, Request{User: "ada", Writer: true})
	c := until(t, v, Granted).Claim
	r := Request{User: "bob", Writer: true, Waiter: "w"}
	w := attach(t, b, key, r)
	until(t, w, Waits)
	w.Detach(r, false)
	if err := b.GiveUp(t.Context(), key, *c, "boom", ""); err != nil {
		t.Fatal(err)
	}
	until(t, w, Failed)
	if s := until(t, attach(t, b, key, r), Failed); s.Error != "boom" {
		t.Errorf("told: %+v", s)
	}
}

// A node that leaves lets nobody attach, and tells all who are.
func TestDrain(t *testing.T) {
	b := startBuilds(t, &alone{})
	v := attach(t, b, key, Request{User: "ada", Writer: true, Stream: true})
	until(t, v, Granted)
	ctx, stop := context.WithCancel(t.Context())
	stop() // there is no other node for the builder
	if err := b.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, v, Moved)
	if _, err := b.Attach(key, Request{User: "bob"}); !errors.Is(err, ErrLeaving) {
		t.Errorf("attached to a node that leaves: %v", err)
	}
}

// Rule 28: a node that leaves waits until its builders are attached elsewhere, or are gone.
func TestDrainWaits(t *testing.T) {
	const goes = time.Second
	for lasts, elsewhere := range map[time.Duration]bool{goes: true, absence: false} {
		synctest.Test(t, func(t *testing.T) {
			b := startBuilds(t, &alone{})
			request := Request{User: "ada", Writer: true, Waiter: "w", Stream: true}
			v := attach(t, b, key, request)
			there := attached{ID: v.id, Nonce: 1, User: "ada", Writer: true, Claim: until(t, v, Granted).Claim}
			began := time.Now()
			go func() { // ends with the stream
				until(t, v, Moved)
				v.Detach(request, false)
			}()
			if elsewhere {
				time.AfterFunc(goes, func() {
					b.owner.with(func(tbl *table, now time.Time) {
						if _, err := tbl.say(now, "B", key, statement{Number: 1, Attached: []attached{there}}); err != nil {
							t.Error(err)
						}
					})
				})
			}
			if err := b.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d < lasts || d > lasts+drainLook {
				t.Errorf("the builder goes elsewhere: %t, and it waited for %s", elsewhere, d)
			}
		})
	}
}

// A builder whose stream has broken keeps its claim for a moment, in which it is away: a node that
// leaves must not take this one for where the builder is.
func TestABrokenStreamIsAway(t *testing.T) {
	b := startBuilds(t, &alone{})
	request := Request{User: "ada", Writer: true, Waiter: "w", Stream: true}
	v := attach(t, b, key, request)
	until(t, v, Granted)
	v.Detach(request, true)
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); v.placeUntil.IsZero() || !v.attached(now).Away || v.attached(now).Claim == nil {
		t.Errorf("it is named as %+v", v.attached(now))
	}
}

// Rule 28: a node that leaves names its builder to the owner, and to a new one that asks,
// until the owner knows it attached elsewhere.
func TestDrainSpeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := startRemote(t)
		request := Request{User: "ada", Writer: true, Waiter: "w", Stream: true}
		v := attach(t, b, key, request)
		is := told{Nonce: v.nonce, Verdict: Verdict{Kind: Granted, Claim: &Claim{Name: "c"}}}
		(<-r.asked).answer <- view{Version: 1, Told: map[string]told{v.id: is}}
		until(t, v, Granted)
		<-r.asked
		drained := make(chan struct{})
		go func() { // ends with Drain
			defer close(drained)
			_ = b.Drain(t.Context()) // it has no error
		}()
		until(t, v, Moved)
		v.Detach(request, false)
		left := <-r.asked
		status, all := attachedAt(t, b)
		if status != http.StatusOK || len(all) != 1 {
			t.Fatalf("a new owner is answered %d %+v", status, all)
		}
		for _, said := range [][]attached{left.said.Attached, all[0].Attached} {
			if len(said) != 1 || said[0].Claim == nil || !said[0].Away {
				t.Fatalf("it says of its builder: %+v", said)
			}
		}
		again := <-r.asked
		select {
		case <-drained:
			t.Fatal("it has left a builder who is attached nowhere")
		case <-time.After(absence / 2):
		}
		is.Elsewhere = true
		again.answer <- view{Version: 2, Told: map[string]told{v.id: is}}
		<-drained
		if last := <-r.asked; len(last.said.Attached) != 0 {
			t.Errorf("it says at last: %+v", last.said)
		}
	})
}

// Rule 25: a grant from before the ring changed is not taken.
func TestLateGrant(t *testing.T) {
	b := startBuilds(t, &alone{})
	b.mu.Lock()
	g := &group{key: key, visits: map[string]*Visit{}, owner: "here", scheduled: true} // nothing is said by itself
	v := &Visit{b: b, g: g, id: "w", nonce: 1, conns: 1}
	g.visits["w"] = v
	s := b.statement(g, "here")
	g.scheduled = true
	b.mu.Unlock()
	said := view{Version: 1, Told: map[string]told{"w": {Nonce: 1, Verdict: Verdict{Kind: Granted, Claim: &Claim{Name: "c"}}}}}
	b.take(g, s, b.ring()+1, "here", said, nil)
	g.announced = s.Number + 1
	b.take(g, s, b.ring(), "here", said, nil)
	if v.claim != nil {
		t.Fatal("a late grant was taken")
	}
	g.announced = 0
	said.Told["w"] = told{Nonce: 2, Verdict: said.Told["w"].Verdict}
	b.take(g, s, b.ring(), "here", said, nil)
	if v.claim != nil {
		t.Fatal("a grant to who was here before was taken")
	}
	said.Version, said.Told["w"] = 2, told{Nonce: 1, Verdict: said.Told["w"].Verdict}
	b.take(g, s, b.ring(), "here", said, nil)
	if v.claim == nil {
		t.Fatal("a grant was not taken")
	}
}

// Beyond each bound a node refuses, and says why.
func TestNodeBounds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bound func(*bounds)
		other bool // another key
		want  error
	}{
		{"waiters of a key", func(b *bounds) { b.perKey = 2 }, false, ErrCrowd},
		{"streams of an org", func(b *bounds) { b.streams = 2 }, false, ErrStreams},
		{"keys of a node", func(b *bounds) { b.groups = 2 }, true, ErrFull},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBuilds(t, &alone{})
			tt.bound(&b.bounds)
			k := key
			for i := range 2 {
				if tt.other {
					k.Name = fmt.Sprint(i)
				}
				attach(t, b, k, Request{User: "ada", Writer: true, Stream: true})
			}
			k.Name = "more"
			if !tt.other {
				k = key
			}
			if _, err := b.Attach(k, Request{User: "ada", Writer: true, Stream: true}); !errors.Is(err, tt.want) {
				t.Errorf("one more: %v", err)
			}
		})
	}
	b := startBuilds(t, &alone{})
	b.owner.t.limits.keys = 1
	until(t, attach(t, b, key, Request{User: "ada", Writer: true}), Granted)
	k := key
	k.Name = "more"
	if s := until(t, attach(t, b, k, Request{User: "ada", Writer: true}), Troubled); s.Error != ErrFull.Error() {
		t.Errorf("one key more at the owner: %+v", s)
	}
}

// BenchmarkGrant grants claims of different keys and gives them up.
func BenchmarkGrant(b *testing.B) {
	all := startBuilds(b, &alone{})
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		r := Request{User: "ada", Writer: true}
		for pb.Next() {
			k := key
			k.Name = fmt.Sprint(n.Add(1))
			v := attach(b, all, k, r)
			c := until(b, v, Granted).Claim
			if _, err := all.Seal(k, *c); err != nil {
				b.Error(err)
			}
			v.Detach(r, false)
			if err := all.GiveUp(b.Context(), k, *c, "", ""); err != nil {
				b.Error(err)
			}
		}
	})
}
