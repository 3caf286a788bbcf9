package writepath

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"larder/fill"
	"larder/keys"
	"larder/store"
	"larder/store/expiry"
	"larder/test/testcluster"
)

// past is a moment that has come.
func past() time.Time { return time.Now().Add(-time.Hour).UTC().Truncate(time.Second) }

// expired is an object that a node wrote, indexed, and whose moment has come.
func expired(t *testing.T, k keys.Key) (store.Head, keys.Expiring) {
	t.Helper()
	h, err := testStore.Put(t.Context(), k.Place(), store.Write{Head: store.Head{Expires: past(), Write: store.NewWriteName()}, Body: []byte("old")})
	if err != nil {
		t.Fatal(err)
	}
	return h, indexed(t, k, h)
}

// indexed is the entry of a head, in the index.
func indexed(t *testing.T, k keys.Key, h store.Head) keys.Expiring {
	t.Helper()
	e, _ := expiringOf(k, h)
	if err := expiry.New(testStore).Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// entries is how many entries of a write the index has.
func entries(t *testing.T, e keys.Expiring) (n int) {
	t.Helper()
	byHour, byKey, err := e.Places()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{byHour, byKey} {
		if _, err := testStore.Head(t.Context(), name); err == nil {
			n++
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	return n
}

func isThere(t *testing.T, k keys.Key) bool {
	t.Helper()
	_, err := testStore.Head(t.Context(), k.Place())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func walk(t *testing.T, n *node) int64 {
	t.Helper()
	removed, err := n.path.expireOnce(t.Context())
	if err != nil {
		t.Error(err)
	}
	return removed
}

// nextSecond waits until the clock shows another second: the store dates objects in whole ones.
func nextSecond() {
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
}

// TestTheWalk is one test, since all walks go through one index.
func TestTheWalk(t *testing.T) {
	nodes := startCluster(t, 2, time.Second)
	a, b := nodes[0], nodes[1]

	t.Run("removes what is due, of the own keys", func(t *testing.T) {
		k, other := keyOwnedBy(t, a), keyOwnedBy(t, b)
		_, e := expired(t, k)
		expired(t, other)
		if got := get(t, b, k); got != "" {
			t.Errorf("what has expired is answered: %q", got)
		}
		if removed := walk(t, a); removed != 1 || isThere(t, k) || entries(t, e) != 0 {
			t.Errorf("%d removed, there: %v, %d entries", removed, isThere(t, k), entries(t, e))
		}
		if !isThere(t, other) {
			t.Error("a node removed what another owns")
		}
		if removed := walk(t, b); removed != 1 || isThere(t, other) {
			t.Errorf("%d removed by its owner, there: %v", removed, isThere(t, other))
		}
		_, err := a.fill.Open(t.Context(), k, fill.Options{})
		if at, ok := errors.AsType[store.Expired](err); !ok || !at.At.Equal(e.Moment) {
			t.Errorf("after the removal: %v, want the moment %s", err, e.Moment)
		}
	})

	t.Run("leaves what was written anew", func(t *testing.T) {
		k := keyOwnedBy(t, a)
		h, e := expired(t, k)
		if r := mustPut(t, b, k, "new"); !r.Created {
			t.Error("a put over what has expired did not create")
		}
		testcluster.Holds(t, "the entry of what was replaced is dropped", func() bool { return entries(t, e) == 0 })
		e = indexed(t, k, h) // as if the node had died before it could drop it
		if removed := walk(t, a); removed != 0 || get(t, b, k) != "new" {
			t.Errorf("%d removed, %q is there", removed, get(t, b, k))
		}
		if entries(t, e) != 2 {
			t.Error("an entry was dropped that may be older than its object")
		}
		a.path.cfg.ExpireStray = time.Nanosecond
		defer func() { a.path.cfg.ExpireStray = strayAfter }()
		nextSecond()
		if walk(t, a); entries(t, e) != 0 || get(t, b, k) != "new" {
			t.Errorf("a stray entry stays: %d; %q is there", entries(t, e), get(t, b, k))
		}
	})

	t.Run("finishes what a crash left", func(t *testing.T) {
		k := keyOwnedBy(t, a)
		_, e := expired(t, k)
		_, byKey, _ := e.Places()
		for _, name := range []string{k.Place(), byKey} { // a node died before the entry by hour was dropped
			if err := testStore.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		a.path.cfg.ExpireStray = time.Nanosecond
		defer func() { a.path.cfg.ExpireStray = strayAfter }()
		nextSecond()
		if walk(t, a); entries(t, e) != 0 {
			t.Errorf("%d entries are left", entries(t, e))
		}
	})

	t.Run("believes the object and not the entry", func(t *testing.T) {
		k := keyOwnedBy(t, a)
		h, err := testStore.Put(t.Context(), k.Place(), store.Write{
			Head: store.Head{Expires: time.Now().Add(time.Hour), Write: store.NewWriteName()}, Body: []byte("lives"),
		})
		if err != nil {
			t.Fatal(err)
		}
		h.Expires = past()
		indexed(t, k, h)
		if removed := walk(t, a); removed != 0 || get(t, a, k) != "lives" {
			t.Errorf("%d removed, %q is there", removed, get(t, a, k))
		}
		_, err = a.path.apply(t.Context(), k, op{Delete: true, expired: "another"})
		if !errors.Is(err, store.ErrPrecondition) || get(t, a, k) != "lives" {
			t.Errorf("another write's removal: %v", err)
		}
	})

	t.Run("waits until the node has met its cluster", func(t *testing.T) {
		k := keyOwnedBy(t, a)
		expired(t, k)
		a.cluster.away.Store(true)
		if removed := walk(t, a); removed != 0 || !isThere(t, k) {
			t.Errorf("%d removed by a node that has met nobody", removed)
		}
		a.cluster.away.Store(false)
		if removed := walk(t, a); removed != 1 || isThere(t, k) {
			t.Errorf("%d removed once it has, there: %v", removed, isThere(t, k))
		}
	})

	t.Run("waits for those who read", func(t *testing.T) {
		k := keyOwnedBy(t, a)
		h, err := testStore.Put(t.Context(), k.Place(), store.Write{
			Head: store.Head{Expires: time.Now().Add(-time.Second), Write: store.NewWriteName()}, Body: []byte("old"),
		})
		if err != nil {
			t.Fatal(err)
		}
		indexed(t, k, h)
		if removed := walk(t, a); removed != 0 || !isThere(t, k) {
			t.Error("removed at once")
		}
	})
}

// TestDeleteOfAVersion: another version is not deleted, even if it came after the look.
func TestDeleteOfAVersion(t *testing.T) {
	t.Parallel()
	k, err := keys.New("test", keys.Objects, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	h, err := testStore.Put(t.Context(), k.Place(), store.Write{Body: []byte("v1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := testStore.DeleteVersion(t.Context(), k.Place(), "another"); !errors.Is(err, store.ErrPrecondition) || !isThere(t, k) {
		t.Errorf("of another version: %v, there: %v", err, isThere(t, k))
	}
	for range 2 { // the second time it is gone
		if err := testStore.DeleteVersion(t.Context(), k.Place(), h.Version); err != nil || isThere(t, k) {
			t.Errorf("of this version: %v, there: %v", err, isThere(t, k))
		}
	}
}

// TestTheIndexComesFirst: an object that expires is in the index before it is in the
// store, and is not if it surely did not get there.
func TestTheIndexComesFirst(t *testing.T) {
	t.Parallel()
	n := startNode(t, "node", time.Second)
	k := keyOwnedBy(t, n)
	h := store.Head{Expires: momentIn(time.Hour), Write: store.NewWriteName()}
	if err := n.path.index(t.Context(), k, h); err != nil {
		t.Fatal(err)
	}
	seen, _ := expiringOf(k, h)
	if entries(t, seen) != 2 {
		t.Fatal("not indexed")
	}
	n.path.unindex(k, h)
	testcluster.Holds(t, "the entries are dropped", func() bool { return entries(t, seen) == 0 })

	r, err := n.path.Put(t.Context(), k, store.Head{}, []byte("v1"), Conditions{ExpiresIn: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	first, ok := expiringOf(k, r.Head)
	if !ok || entries(t, first) != 2 {
		t.Fatalf("%+v has %d entries", r.Head, entries(t, first))
	}
	// A put that is refused leaves nothing behind, and one that replaces drops the old.
	if _, err := n.path.Put(t.Context(), k, store.Head{}, []byte("v2"), Conditions{ExpiresIn: time.Hour, IfAbsent: true}); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("over what is there: %v", err)
	}
	testcluster.Holds(t, "one write is in the index", func() bool { return underKey(t, k) == 1 })
	mustPut(t, n, k, "v3")
	testcluster.Holds(t, "the replaced write is not in the index", func() bool { return entries(t, first) == 0 && underKey(t, k) == 0 })
	if is, ok := n.heads.Owned(k); !ok || !is.Ends.IsZero() {
		t.Errorf("what does not expire is known as %+v", is)
	}

	n.store.interfere(func() error { return store.ErrUnavailable }, nil)
	if _, err := n.path.Put(t.Context(), k, store.Head{}, []byte("v4"), Conditions{ExpiresIn: time.Hour}); !errors.Is(err, ErrNotApplied) {
		t.Errorf("without an index: %v, want nothing to be written", err)
	}

	var puts atomic.Int64
	n.store.interfere(nil, func() error {
		if puts.Add(1) == 3 { // after both entries
			return store.ErrUnavailable
		}
		return nil
	})
	if _, err := n.path.Put(t.Context(), k, store.Head{}, []byte("v5"), Conditions{ExpiresIn: time.Hour}); !errors.Is(err, ErrUnknown) {
		t.Errorf("without an answer: %v", err)
	}
	if err := n.path.drops.Wait(); err != nil || underKey(t, k) != 1 {
		t.Errorf("of what may be there, %d entries are left: %v", underKey(t, k), err)
	}
}

// A store that refuses to create over what has expired, and then does not say what that
// is, is no proof that something is there.
func TestCreateOverWhatNobodyCanSee(t *testing.T) {
	t.Parallel()
	n := startNode(t, "node", time.Second)
	k := keyOwnedBy(t, n)
	expired(t, k)
	n.store.setBlind(true)
	for what, cond := range map[string]Conditions{
		"a create": {IfAbsent: true},
		"a put that replaces absence under a claim": {Claim: &Claim{Name: "claim"}},
	} {
		if _, err := n.path.Put(t.Context(), k, store.Head{}, []byte("new"), cond); !errors.Is(err, ErrNotApplied) || errors.Is(err, store.ErrPrecondition) {
			t.Errorf("%s: %v, want nothing to be written", what, err)
		}
	}
	n.store.setBlind(false)
	if _, err := n.path.Put(t.Context(), k, store.Head{}, []byte("new"), Conditions{Claim: &Claim{Name: "claim"}}); err != nil {
		t.Errorf("once the store says what is there: %v", err)
	}
}

// underKey is how many writes of a key the index has.
func underKey(t *testing.T, k keys.Key) int {
	t.Helper()
	entries, _, err := testStore.List(context.Background(), keys.ExpiringAt(k.Place()), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestHeadsSayHowMuchIsLeft: what a node publishes ends with its object.
func TestHeadsSayHowMuchIsLeft(t *testing.T) {
	t.Parallel()
	n := startNode(t, "node", time.Second)
	k := keyOwnedBy(t, n)
	r, err := n.path.Put(t.Context(), k, store.Head{}, []byte("v"), Conditions{ExpiresIn: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	is, ok := n.heads.Owned(k)
	if left := time.Until(is.Ends); !ok || left > time.Until(r.Head.Expires)+time.Second || left < time.Until(r.Head.Expires)-time.Second {
		t.Errorf("published with %s left, want until %s", time.Until(is.Ends), r.Head.Expires)
	}
}
