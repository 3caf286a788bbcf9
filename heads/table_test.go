package heads

import (
	"fmt"
	"testing"
	"time"

	"larder/keys"
)

// Rule 1.
func TestALiveHeadIsTheAnswer(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		a.want(t, "")
		a.owns(t, "v1")
		b.holds(t, "v1")
		time.Sleep(lease - 1)
		b.want(t, "v1")
		time.Sleep(time.Nanosecond)
		b.want(t, "") // stale
		if last, ok := b.Last(key()); !ok || last.Version != "v1" {
			t.Errorf("%+v, %v is known", last, ok)
		}
		b.Remember(key(), is("v2"))
		b.want(t, "")
		a.Remember(key(), is("v2"))
		a.want(t, "v1")
	})
}

// Rule 4: whatever comes between the asking and the answer.
func TestWhatIsNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, n *node)
		kept      bool
	}{
		"nothing":      {func(*testing.T, *node) {}, true},
		"almost all":   {func(*testing.T, *node) { time.Sleep(lease - 1) }, true},
		"the lease":    {func(*testing.T, *node) { time.Sleep(lease) }, false},
		"a drop":       {func(_ *testing.T, n *node) { n.Drop(key()) }, false},
		"a revocation": {func(t *testing.T, n *node) { n.ask(t.Context(), "a", RevokeRoute, key().Place()) }, false},
		"a hint":       {func(_ *testing.T, n *node) { n.Hint([]byte(key().Place())) }, false},
		"a member":     {func(_ *testing.T, n *node) { n.sees("a", "b", "c") }, false},
		"its leaving":  {func(t *testing.T, n *node) { _ = n.Retire(t.Context()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, net *network) {
				_, b := pair(t, net)
				asked := b.Now(key())
				c.meanwhile(t, b)
				if kept := b.KeepLease(key(), asked, is("v1"), lease); kept != c.kept {
					t.Errorf("kept: %v", kept)
				}
				if _, live, now := b.Get(key()); live != c.kept || !now.Undisturbed(asked) && c.kept {
					t.Errorf("live: %v", live)
				}
			})
		})
	}
}

// Rule 4: a lease counts from the asking, however late its answer comes, and is none
// longer than --lease.
func TestALeaseCountsFromTheAsking(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		_, b := pair(t, net)
		for _, granted := range []time.Duration{lease / 2, lease, revalidate} {
			asked := b.Now(key())
			time.Sleep(lease / 4)
			if !b.KeepLease(key(), asked, is("v1"), granted) {
				t.Fatal("not kept")
			}
			time.Sleep(min(granted, lease) - lease/4 - 1)
			b.want(t, "v1")
			time.Sleep(time.Nanosecond)
			b.want(t, "")
		}
	})
}

// Rule 5.
func TestAnOwnerTrustsTheStore(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		asked := a.Now(key())
		time.Sleep(time.Minute)
		if !a.KeepOwned(key(), asked, is("v1")) {
			t.Fatal("not kept")
		}
		time.Sleep(revalidate - time.Minute - 1)
		a.want(t, "v1")
		time.Sleep(time.Nanosecond)
		a.want(t, "")
		if b.KeepOwned(key(), b.Now(key()), is("v1")) {
			t.Error("kept by who is not the owner")
		}
		a.sees("a", "b", "out of reach")
		time.Sleep(time.Minute)
		if a.KeepOwned(key(), a.Now(key()), is("v1")) {
			t.Error("kept with an unsettled member")
		}
		a.sees("a", "b")
		a.owns(t, "v1")
	})
}

// Rule 6.
func TestGrants(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		want := func(n *node, to string, want time.Duration) {
			t.Helper()
			if got, d := n.Grant(key(), to); d != want || d > 0 && got.Head.Version != "v1" {
				t.Errorf("granted %s on %+v to %s, want %s", d, got, to, want)
			}
		}
		want(a, "b", 0)
		a.owns(t, "v1")
		want(a, "b", lease)
		want(a, "unknown", 0)
		a.sees("a")
		want(a, "b", 0) // dead, or gone, and would not be told
		a.sees("a", "b")
		time.Sleep(time.Second)
		a.owns(t, "v1")
		time.Sleep(revalidate - lease/3)
		want(a, "b", lease/3)
		time.Sleep(lease / 3)
		want(a, "b", 0)
		b.holds(t, "v1")
		want(b, "a", 0)
		a.owns(t, "v1")
		w := a.begin(t)
		want(a, "b", 0)
		if err := w.Upload(time.Now()); err != nil {
			t.Fatal(err)
		}
		w.End(done("v1"))
		want(a, "b", lease)
		a.sees("b", "a")
		want(a, "b", 0)
		if n := a.Stats().Granted; n != 3 {
			t.Errorf("%d leases were counted", n)
		}
	})
}

// Rules 7 and 13: while a key is written, and under the mark, nothing is trusted,
// whatever was asked when.
func TestNothingIsTrustedOfABarredKey(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		keep := func(asked Moment) {
			t.Helper()
			if a.KeepOwned(key(), asked, is("v0")) {
				t.Error("kept")
			}
			a.want(t, "")
		}
		w := a.upload(t)
		keep(a.Now(key()))
		asked := a.Now(key())
		w.End(Outcome{Unknown: true})
		keep(asked)
		keep(a.Now(key()))

		// The next write takes the mark not away, and publishes nothing.
		w = a.upload(t)
		w.End(done("v1"))
		keep(a.Now(key()))
		time.Sleep(revalidate - time.Second)
		asked = a.Now(key())
		w = a.upload(t)
		time.Sleep(time.Second)
		w.End(done("v2"))
		a.want(t, "")
		keep(asked)
		a.owns(t, "v2")
	})
}

// Rule 13: what was asked for under the mark is not kept after it, although nothing
// was dropped since.
func TestAnAnswerFromUnderTheMarkIsNotKept(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.upload(t).End(Outcome{Unknown: true})
		time.Sleep(revalidate - 1)
		asked := a.Now(key())
		time.Sleep(time.Minute)
		if a.KeepOwned(key(), asked, is("v1")) {
			t.Error("kept")
		}
		a.owns(t, "v1")
	})
}

func TestHeadsAreBounded(t *testing.T) {
	table := New(Config{}, &node{id: "a"})
	most := headsPerShard(0) * shards
	for i := range 4 * most {
		k := keys.Key{Org: "o", Service: keys.Objects, Name: fmt.Sprint(i)}
		s := table.of(k)
		s.mu.Lock()
		s.put(k, entry{until: time.Now().Add(time.Hour)})
		s.mu.Unlock()
	}
	if n := table.Stats().Live; n > int64(most) || n < int64(most)/2 {
		t.Errorf("%d heads where %d are allowed", n, most)
	}
}

// Of as many heads as are looked at, the one that was used least lately gives
// way, and before it one whose lease has ended.
func TestHeadsUsedLongAgoGiveWay(t *testing.T) {
	s := &shard{max: evictAmong, entries: newEntries(base{time.Now()})}
	now := time.Now()
	key := func(i int) keys.Key { return keys.Key{Org: "o", Service: keys.Objects, Name: fmt.Sprint(i)} }
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range evictAmong {
		s.put(key(i), entry{until: now.Add(time.Hour), used: now.Add(time.Duration(i-evictAmong) * time.Second)})
	}
	if _, ok := s.live(key(0), now); !ok {
		t.Fatal("the first is not there")
	}
	s.put(key(8), entry{until: now.Add(time.Hour), used: now})
	if s.entries.get(key(1)) != nil || s.entries.get(key(0)) == nil {
		t.Error("not the one gave way that was used least lately")
	}
	s.entries.get(key(7)).until = s.entries.since(now)
	s.put(key(9), entry{until: now.Add(time.Hour), used: now})
	if s.entries.get(key(7)) != nil || s.entries.get(key(2)) == nil || len(s.entries.byKey) != evictAmong {
		t.Error("not the one gave way whose lease has ended")
	}
}

// A version that the store says is gone is dropped, and no other.
func TestDropVersion(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		a.DropVersion(key(), keys.Version{ETag: "v2", Write: is("v2").Head.WriteName()})
		a.want(t, "v1")
		a.DropVersion(key(), keys.Version{ETag: "v1", Write: is("v1").Head.WriteName()})
		a.want(t, "")
		if _, ok := a.Last(key()); ok {
			t.Error("still known")
		}
	})
}
