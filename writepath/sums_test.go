package writepath

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// listOf is the list of digests of what one write put there.
func listOf(t *testing.T, k keys.Key, h store.Head) (store.Sums, error) {
	t.Helper()
	_, b, err := testStore.Get(t.Context(), keys.Sums(k.Org, h.Write), 1<<20, nil)
	if err != nil {
		return store.Sums{}, err
	}
	return store.ParseSums(b)
}

func isGone(t *testing.T, k keys.Key, h store.Head) func() bool {
	return func() bool {
		_, err := listOf(t, k, h)
		return errors.Is(err, store.ErrNotFound)
	}
}

// The digests of a large object are there when it is, and go when it does.
func TestLargeObjectsLeaveTheirDigests(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	body := noise(6<<20 + 5)
	for i, end := range []func() error{
		func() error { _, err := nodes[0].put(t.Context(), k, "small"); return err },
		func() error { _, err := putLarge(t, nodes[1], k, bytes.NewReader(body[1:]), Conditions{}); return err },
		func() error { return nodes[1].path.Delete(t.Context(), k, "ada", nil) },
	} {
		r, err := putLarge(t, nodes[1], k, bytes.NewReader(body), Conditions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := listOf(t, k, r.Head)
		if err != nil || s.Name != k.Place() || s.Size != int64(len(body)) || s.Piece != testChunk || r.Head.Piece != testChunk {
			t.Fatalf("%+v of %+v, %v", s, r.Head, err)
		}
		for n, sum := range s.Digests {
			if sum != sha256.Sum256(body[n*testChunk:min(len(body), (n+1)*testChunk)]) {
				t.Errorf("chunk %d has another digest", n)
			}
		}
		for _, n := range nodes {
			if got := get(t, n, k); got != string(body) {
				t.Errorf("%d bytes", len(got))
			}
			if s := n.fill.Stats(); s.Unverified > 0 {
				t.Errorf("%d chunks were not verified", s.Unverified)
			}
		}
		if err := end(); err != nil {
			t.Fatal(i, err)
		}
		testcluster.Holds(t, "the list is removed", isGone(t, k, r.Head))
	}
}

// The owner hears of chunks from the node that they were written through, and
// keeps them: they need not be read. A chunk for which it has no time is read.
func TestWrittenChunksAreKept(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	body := noise(6 << 20)
	if _, err := putLarge(t, nodes[1], keyOwnedBy(t, nodes[0]), bytes.NewReader(body), Conditions{}); err != nil {
		t.Fatal(err)
	}
	held := nodes[0].fill.Stats().Own.Chunks + nodes[1].fill.Stats().Own.Chunks
	if all := int64(len(body) / testChunk); held < all*9/10 || held > all {
		t.Errorf("%d chunks of %d are in memory", held, all)
	}
}

// A write that comes to nothing leaves no list, and a list that cannot be written
// costs no write.
func TestListsOfWhatCameToNothing(t *testing.T) {
	n := startCluster(t, 1, time.Minute)[0]
	k := keyOwnedBy(t, n)
	count := func() int {
		entries, _, err := testStore.List(t.Context(), keys.SumsRoot, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	body := noise(6 << 20)
	for _, c := range []struct {
		body io.Reader
		cond Conditions
	}{
		{bytes.NewReader(body), Conditions{IfMatch: []string{"another"}}},
		{io.MultiReader(bytes.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF)), Conditions{}},
	} {
		if _, err := putLarge(t, n, k, c.body, c.cond); err == nil {
			t.Error("it was written")
		}
	}
	testcluster.Holds(t, "the lists are removed", func() bool { return count() == before })
	n.store.interfere(func() error { return store.ErrUnexpected }, nil)
	if _, err := putLarge(t, n, k, bytes.NewReader(body), Conditions{}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, n, k); got != string(body) || count() != before {
		t.Errorf("%d bytes", len(got))
	}
}

// What was not removed is found by the sweep, and nothing else is.
func TestSweepOfLists(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k, other := keyOwnedBy(t, nodes[0]), keyOwnedBy(t, nodes[1])
	r, err := putLarge(t, nodes[0], k, bytes.NewReader(noise(6<<20)), Conditions{})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := putLarge(t, nodes[0], other, bytes.NewReader(noise(6<<20)), Conditions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := testStore.Put(t.Context(), other.Place(), store.Write{Body: []byte("past every node")}); err != nil {
		t.Fatal(err)
	}
	foreign := keys.Sums("test", "notes.txt")
	if _, err := testStore.Put(t.Context(), foreign, store.Write{Body: []byte("not a list")}); err != nil {
		t.Fatal(err)
	}
	for _, before := range []time.Duration{-time.Hour, time.Hour} {
		for _, n := range nodes {
			if _, err := n.path.sweepSums(t.Context(), time.Now().Add(before)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := listOf(t, k, r.Head); err != nil {
			t.Errorf("a list that is needed: %v", err)
		}
		if got := isGone(t, other, gone.Head)(); got != (before > 0) {
			t.Errorf("a list that is not needed: gone %v", got)
		}
		if _, err := testStore.Head(t.Context(), foreign); err != nil {
			t.Error(err)
		}
	}
}
