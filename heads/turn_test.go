package heads

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"larder/keys"
)

// Rule 8.
func TestWritesTakeTurns(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		first := a.begin(t)
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Begin(impatient, key(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second writer got %v", err)
		}
		other, err := a.Begin(t.Context(), keys.Key{Name: "other"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		other.End(Outcome{})

		begun := make(chan *Turn)
		go func() { begun <- a.begin(t) }()
		synctest.Wait()
		select {
		case <-begun:
			t.Fatal("two have the turn")
		default:
		}
		first.End(Outcome{})
		(<-begun).End(Outcome{})
		for i := range a.shards {
			if n := len(a.shards[i].queues); n != 0 {
				t.Errorf("%d keys are still held", n)
			}
		}
	})
}

// Rule 8: nothing is done for nobody, and nothing is forgotten for that.
func TestAbandonedWritesAreNotDone(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		gone := false
		abandoned := func() bool { return gone }
		w, err := a.Begin(t.Context(), key(), abandoned)
		if err != nil {
			t.Fatal(err)
		}
		gone = true
		if err := w.Upload(time.Now()); !errors.Is(err, ErrAbandoned) {
			t.Errorf("upload: %v", err)
		}
		w.End(Outcome{})
		a.owns(t, "v1")
		if _, err := a.Begin(t.Context(), key(), abandoned); !errors.Is(err, ErrAbandoned) {
			t.Errorf("begin: %v", err)
		}
		a.want(t, "v1")
		a.begin(t).End(Outcome{}) // the turn was given back
	})
}

// The ring may change while a write waits for its turn.
func TestTheOwnerBegins(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		if _, err := b.Begin(t.Context(), key(), nil); !errors.Is(err, ErrNotOwner) {
			t.Errorf("who is not the owner: %v", err)
		}
		first := a.begin(t)
		second := make(chan error)
		go func() { _, err := a.Begin(t.Context(), key(), nil); second <- err }()
		synctest.Wait()
		a.sees("b", "a")
		first.End(Outcome{})
		if err := <-second; !errors.Is(err, ErrNotOwner) {
			t.Errorf("who is the owner no longer: %v", err)
		}
	})
}

// Rule 9.
func TestABeginForgets(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		asked := a.Now(key())
		w := a.begin(t)
		if !w.Present || w.Last.Version != "v1" || !w.Began.Equal(time.Now()) {
			t.Errorf("%+v", w)
		}
		a.want(t, "")
		w.End(Outcome{})
		if a.KeepOwned(key(), asked, is("v1")) {
			t.Error("kept what was asked for before the write")
		}
		if w = a.begin(t); w.Present || w.Last.Version != "v1" {
			t.Errorf("%+v", w)
		}
		w.End(Outcome{})
	})
}

// Rule 12.
func TestAnUploadThatBeginsTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*node)
		since  time.Duration
		want   error
	}{
		"in time":                    {func(*node) {}, sendWithin, nil},
		"the process was stopped":    {func(*node) {}, sendWithin + 1, ErrNotOwner},
		"there is another owner":     {func(n *node) { n.sees("b", "a") }, 0, ErrNotOwner},
		"another owner has begun":    {func(n *node) { n.giveWay(key(), "b") }, 0, ErrNotOwner},
		"another owner, and back":    {func(n *node) { n.sees("b", "a"); n.sees("a", "b") }, 0, nil},
		"a member joined, no owner":  {func(n *node) { n.sees("a", "b", "c") }, 0, nil},
		"another owner, not told of": {func(n *node) { n.mu.Lock(); n.view = []string{"b", "a"}; n.mu.Unlock() }, 0, ErrNotOwner},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, net *network) {
				a, _ := pair(t, net)
				w := a.begin(t)
				revoked := time.Now()
				c.before(a)
				time.Sleep(c.since)
				if err := w.Upload(revoked); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				w.End(Outcome{})
			})
		})
	}
}

// Rule 12: the owner is looked up after the mark. Otherwise one who settles in
// between would neither wait for the upload nor be found.
func TestTheOwnerIsLookedUpAfterTheMark(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		w := a.begin(t)
		looked := false
		a.mu.Lock()
		a.onLook = func() {
			if looked = true; len(a.uploads()) != 1 {
				t.Error("looked up before the mark")
			}
		}
		a.mu.Unlock()
		if err := w.Upload(time.Now()); err != nil || !looked {
			t.Errorf("looked: %v, %v", looked, err)
		}
		a.mu.Lock()
		a.onLook = nil
		a.mu.Unlock()
		w.End(Outcome{})
	})
}

// Rule 14: what was written is trusted for as long as if it had been asked for, and
// what was asked for during the write is not kept.
func TestAWriteIsPublished(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		w := a.begin(t)
		revoked := time.Now()
		if err := w.Upload(revoked); err != nil {
			t.Fatal(err)
		}
		asked := a.Now(key())
		time.Sleep(time.Minute)
		w.End(done("v1"))
		a.want(t, "v1")
		if a.KeepOwned(key(), asked, is("v0")) {
			t.Error("kept what was asked for during the write")
		}
		a.want(t, "v1")
		time.Sleep(revalidate - time.Minute)
		a.want(t, "")

		a.upload(t).End(Outcome{Done: true, Known: Known{Absent: true}})
		if got, live, _ := a.Get(key()); !live || !got.Absent {
			t.Errorf("after a delete: %+v, %v", got, live)
		}
	})
}

// Rule 14: not what others may have written over since.
func TestAWriteThatIsNotPublished(t *testing.T) {
	for name, during := range map[string]func(t *testing.T, net *network, n *node){
		"another owner": func(_ *testing.T, _ *network, n *node) { n.sees("b", "a") },
		"another owner, and back": func(_ *testing.T, _ *network, n *node) {
			n.sees("b", "a")
			n.sees("a", "b")
		},
		"a member that is unsettled": func(_ *testing.T, _ *network, n *node) { n.sees("a", "b", "c") },
		"a member that has settled": func(t *testing.T, net *network, n *node) {
			n.sees("a", "b", "c")
			net.add(t, "c", "a", "b", "c")
			time.Sleep(time.Second)
			if !n.Settled() {
				t.Fatal("not settled")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, net *network) {
				a, _ := pair(t, net)
				w := a.upload(t)
				during(t, net, a)
				w.End(done("v1"))
				a.want(t, "")
				if last, ok := a.Last(key()); !ok || last.Version != "v1" {
					t.Errorf("%+v is remembered", last)
				}
			})
		})
	}
}

// Rule 18.
func TestRetire(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		w := a.upload(t)
		retired := make(chan error, 1)
		go func() { retired <- a.Retire(t.Context()) }()
		synctest.Wait()
		if len(retired) != 0 {
			t.Error("a write is under way")
		}
		if _, err := a.Begin(t.Context(), key(), nil); !errors.Is(err, ErrNotOwner) {
			t.Errorf("a new writer got %v", err)
		}
		w.End(done("v1"))
		if err := <-retired; err != nil {
			t.Error(err)
		}
		a.want(t, "")
		if a.KeepOwned(key(), a.Now(key()), is("v1")) || a.KeepLease(key(), a.Now(key()), is("v1"), lease) {
			t.Error("a head was kept")
		}
		if _, d := a.Grant(key(), "b"); d != 0 {
			t.Errorf("granted %s", d)
		}
	})
}

// Who cannot wait for the writes forgets the heads all the same.
func TestRetireInAHurry(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		w, err := a.Begin(t.Context(), keys.Key{Name: "other"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Retire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		a.want(t, "")
		w.End(Outcome{})
		synctest.Wait()
	})
}
