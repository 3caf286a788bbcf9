package writepath

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// folder is a prefix of keys that no other test uses.
type folder struct {
	*testing.T
	drop Drop
	name string
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{T: t, name: fmt.Sprint(t.Name(), "/", serial.Add(1), "/")}
	place, err := keys.PlacePrefix("test", keys.Objects, f.name)
	if err != nil {
		t.Fatal(err)
	}
	f.drop = Drop{Prefix: place, User: "ada"}
	return f
}

func (f *folder) key(n int) keys.Key {
	k, err := keys.New("test", keys.Objects, fmt.Sprintf("%s%04d", f.name, n))
	if err != nil {
		f.Fatal(err)
	}
	return k
}

// put puts n keys in turn at the nodes, and has every node read them.
func (f *folder) put(nodes []*node, n int) (ks []keys.Key) {
	for i := range n {
		k := f.key(i)
		ks = append(ks, k)
		mustPut(f.T, nodes[i%len(nodes)], k, "bytes")
		for _, reader := range nodes {
			if got := get(f.T, reader, k); got != "bytes" {
				f.Fatalf("%s reads %q", reader.name, got)
			}
		}
	}
	return ks
}

// wantGone wants that no node finds a key, nor the store.
func (f *folder) wantGone(nodes []*node, ks ...keys.Key) {
	f.Helper()
	for _, k := range ks {
		for _, n := range nodes {
			if got := get(f.T, n, k); got != "" {
				f.Errorf("%s reads %q of %s, which was removed", n.name, got, k)
			}
		}
		if isThere(f.T, k) {
			f.Errorf("the store has %s", k)
		}
	}
}

func sumOf(all []Dropped) (done int, bytes int64, failed []error) {
	for _, o := range all {
		if o.Done {
			done++
			bytes += o.Bytes
		}
		if o.Err != nil {
			failed = append(failed, o.Err)
		}
	}
	return done, bytes, failed
}

// TestDropsWhatEveryNodeHas removes objects of which every node has a lease, with one
// removal at each owner.
func TestDropsWhatEveryNodeHas(t *testing.T) {
	nodes := startCluster(t, 3, time.Hour)
	f, other := newFolder(t), newFolder(t)
	ks := f.put(nodes, 30)
	stays := other.put(nodes, 3)
	dry := f.drop
	dry.Dry = true
	for _, d := range []Drop{dry, f.drop} {
		if done, bytes, failed := sumOf(nodes[0].path.Drop(t.Context(), d, ks)); done != 30 || bytes != 150 || failed != nil {
			t.Fatalf("dry %v: %d removed, of %d bytes, failed: %v", d.Dry, done, bytes, failed)
		}
	}
	f.wantGone(nodes, ks...)
	for _, k := range stays {
		for _, n := range nodes {
			if get(t, n, k) != "bytes" {
				t.Errorf("%s has lost %s", n.name, k)
			}
		}
	}
	for _, n := range nodes {
		if many := n.store.many.Load(); many != 1 {
			t.Errorf("%s has asked the store %d times to remove, want once", n.name, many)
		}
	}
	if done, _, failed := sumOf(nodes[1].path.Drop(t.Context(), f.drop, ks)); done != 0 || failed != nil {
		t.Errorf("again: %d removed, failed: %v", done, failed)
	}
	mustPut(t, nodes[2], ks[0], "anew")
	if got := get(t, nodes[0], ks[0]); got != "anew" {
		t.Errorf("written anew, and read as %q", got)
	}
}

// TestDropJudgesWhatIsThere: what has been replaced since it was listed stays if it is
// none of those to be removed any more.
func TestDropJudgesWhatIsThere(t *testing.T) {
	nodes := startCluster(t, 2, time.Hour)
	put := func(k keys.Key, writer string) {
		if _, err := nodes[0].path.Put(t.Context(), k, store.Head{Writer: writer}, []byte("new"), Conditions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, narrow := range map[string]func(*Drop){
		"older":  func(d *Drop) { d.Before = time.Now().Add(-time.Hour) },
		"writer": func(d *Drop) { d.Writer = "ada" },
		"own":    func(d *Drop) { d.Own = "ada" },
	} {
		for _, n := range []int{3, 2 * listFrom} { // by heads, and by a listing
			f := newFolder(t)
			narrow(&f.drop)
			var ks []keys.Key
			for i := range n {
				k := f.key(i)
				ks = append(ks, k)
				h := store.Head{Writer: "ada", Modified: past()}
				if _, err := testStore.Put(t.Context(), k.Place(), store.Write{Head: h, Body: []byte("old")}); err != nil {
					t.Fatal(err)
				}
			}
			if name == "older" { // the store has its own dates, so all of it is new
				if done, _, failed := sumOf(nodes[1].path.Drop(t.Context(), f.drop, ks)); done != 0 && n >= listFrom || failed != nil {
					t.Errorf("%s, %d keys: %d removed, failed: %v", name, n, done, failed)
				}
				continue
			}
			put(ks[1], "bob") // after the listing
			done, _, failed := sumOf(nodes[1].path.Drop(t.Context(), f.drop, ks))
			if done != n-1 || !isThere(t, ks[1]) {
				t.Errorf("%s, %d keys: %d removed, bob's object is there: %v", name, n, done, isThere(t, ks[1]))
			}
			if own := f.drop.Own != ""; own != (len(failed) == 1) || own && !errors.Is(failed[0], ErrNotOwn) {
				t.Errorf("%s, %d keys: failed: %v", name, n, failed)
			}
		}
	}
}

// wantDropped waits for a write and for the removal that met it: all keys are gone.
func (f *folder) wantDropped(nodes []*node, ks []keys.Key, written <-chan error, dropped <-chan []Dropped) {
	f.Helper()
	if err := <-written; err != nil {
		f.Error(err)
	}
	if done, _, failed := sumOf(<-dropped); done != len(ks) || failed != nil {
		f.Errorf("%d removed, failed: %v", done, failed)
	}
	f.wantGone(nodes, ks...)
}

// TestDropDoesNotWaitForWriters: a key that somebody is writing keeps none of the others.
func TestDropDoesNotWaitForWriters(t *testing.T) {
	nodes := startCluster(t, 2, time.Hour)
	f := newFolder(t)
	ks := f.put(nodes, 12)
	owner := nodes[slices.IndexFunc(nodes, func(n *node) bool { _, self := n.cluster.Owner(ks[0].Hash()); return self })]
	uploading, goOn := make(chan struct{}), make(chan struct{})
	owner.store.interfere(func() error { close(uploading); <-goOn; return nil }, nil)
	written := make(chan error, 1)
	go func() { _, err := owner.put(context.Background(), ks[0], "late"); written <- err }()
	<-uploading
	owner.store.interfere(nil, nil)
	dropped := make(chan []Dropped, 1)
	go func() { dropped <- nodes[0].path.Drop(context.Background(), f.drop, ks) }()
	testcluster.Holds(t, "the others are removed", func() bool {
		return !slices.ContainsFunc(ks[1:], func(k keys.Key) bool { return isThere(t, k) })
	})
	close(goOn)
	f.wantDropped(nodes, ks, written, dropped)
}

// TestDropMeetsAnotherOwner: a member that writes a key itself, having been its owner, is
// waited for, and the other keys are not kept by that.
func TestDropMeetsAnotherOwner(t *testing.T) {
	nodes := startCluster(t, 2, time.Hour)
	f := newFolder(t)
	ks := f.put(nodes, 12)
	i := slices.IndexFunc(ks, func(k keys.Key) bool { _, self := nodes[0].cluster.Owner(k.Hash()); return self })
	former := nodes[1]
	former.cluster.owns.Store(true)
	uploading, goOn := make(chan struct{}), make(chan struct{})
	former.store.interfere(func() error { close(uploading); <-goOn; return nil }, nil)
	written := make(chan error, 1)
	go func() { _, err := former.put(context.Background(), ks[i], "former"); written <- err }()
	<-uploading
	former.store.interfere(nil, nil)
	former.cluster.owns.Store(false)
	dropped := make(chan []Dropped, 1)
	go func() { dropped <- nodes[0].path.Drop(context.Background(), f.drop, ks) }()
	others := slices.Delete(slices.Clone(ks), i, i+1)
	testcluster.Holds(t, "the others are removed", func() bool {
		return !slices.ContainsFunc(others, func(k keys.Key) bool { return isThere(t, k) })
	})
	if !isThere(t, ks[i]) {
		t.Error("what another node is writing was removed before its upload was over")
	}
	close(goOn)
	f.wantDropped(nodes, ks, written, dropped)
}

// TestDropWithoutAnAnswer: what the store has not answered is told as unknown, is read
// from the store from then on, and can be repeated.
func TestDropWithoutAnAnswer(t *testing.T) {
	nodes := startCluster(t, 2, time.Hour)
	for _, applied := range []bool{false, true} {
		f := newFolder(t)
		ks := f.put(nodes, 10)
		silent := func() error { return store.ErrUnavailable }
		for _, n := range nodes {
			if applied {
				n.store.interfere(nil, silent)
			} else {
				n.store.interfere(silent, nil)
			}
		}
		done, _, failed := sumOf(nodes[0].path.Drop(t.Context(), f.drop, ks))
		if done != 0 || len(failed) != len(ks) || slices.ContainsFunc(failed, func(err error) bool { return !errors.Is(err, ErrUnknown) }) {
			t.Errorf("applied %v: %d removed, failed: %v", applied, done, failed)
		}
		for _, n := range nodes {
			n.store.interfere(nil, nil)
		}
		for _, k := range ks {
			for _, n := range nodes {
				if got := get(t, n, k); (got == "") != applied {
					t.Errorf("applied %v: %s reads %q", applied, n.name, got)
				}
			}
		}
		nodes[1].path.Drop(t.Context(), f.drop, ks)
		f.wantGone(nodes, ks...)
	}
}

// TestDropRemovesWhatLiesBeside: the entries of the index of what expires, and the lists
// of digests of what is large.
func TestDropRemovesWhatLiesBeside(t *testing.T) {
	nodes := startCluster(t, 2, time.Hour)
	f := newFolder(t)
	ks := f.put(nodes, 2*listFrom)
	expiring, large := ks[3], ks[5]
	if _, err := nodes[0].path.Put(t.Context(), expiring, store.Head{}, []byte("x"), Conditions{ExpiresIn: time.Hour}); err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("large", 3*testChunk/5)
	r, err := nodes[1].path.PutLarge(t.Context(), large, Upload{Body: strings.NewReader(body), Verify: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	h, err := testStore.Head(t.Context(), expiring.Place())
	if err != nil {
		t.Fatal(err)
	}
	e, _ := expiringOf(expiring, h)
	sums := keys.Sums("test", r.Head.Write)
	if _, err := testStore.Head(t.Context(), sums); err != nil || entries(t, e) != 2 {
		t.Fatalf("%v, %d entries", err, entries(t, e))
	}
	for _, n := range nodes { // so that it has to look
		n.heads.RingChanged()
		for _, k := range ks {
			n.heads.Drop(k)
		}
	}
	done, bytes, failed := sumOf(nodes[0].path.Drop(t.Context(), f.drop, ks))
	if want := int64(5*(len(ks)-2) + 1 + len(body)); done != len(ks) || bytes != want || failed != nil {
		t.Errorf("%d removed, of %d bytes, want %d, failed: %v", done, bytes, want, failed)
	}
	f.wantGone(nodes, ks...)
	testcluster.Holds(t, "the entries and the list are gone", func() bool {
		_, err := testStore.Head(t.Context(), sums)
		return entries(t, e) == 0 && errors.Is(err, store.ErrNotFound)
	})
}

// TestDropIsAbandoned: a drop whose caller has gone removes nothing.
func TestDropIsAbandoned(t *testing.T) {
	nodes := startCluster(t, 1, time.Hour)
	f := newFolder(t)
	ks := f.put(nodes, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if done, _, failed := sumOf(nodes[0].path.Drop(ctx, f.drop, ks)); done != 0 || len(failed) != len(ks) || !errors.Is(failed[0], ErrNotApplied) {
		t.Errorf("%d removed, failed: %v", done, failed)
	}
	if !isThere(t, ks[0]) {
		t.Error("it was removed")
	}
}
