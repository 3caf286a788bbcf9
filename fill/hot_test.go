package fill

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// Copies live in what the node's own chunks leave, and give it up.
func TestCopiesMakeRoomForOwnChunks(t *testing.T) {
	f, _, ring := newFiller(t, nil) // of 64 chunks
	k := newKey(t)
	h := store.Head{Version: "v", Size: 200 * testChunk}
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: make([]byte, testChunk)})
	fetch := func(from, to int, want chunks.Source) {
		t.Helper()
		for n := from; n < to; n++ {
			if _, source, err := chunkAt(f, f.chunks.Of(k, h, n)); err != nil || source != want {
				t.Fatalf("chunk %d from %s, %v", n, source, err)
			}
		}
	}
	within := func() (own, hot int64) {
		t.Helper()
		s := f.Stats()
		if s.Own.Bytes+s.Hot.Bytes > 64*testChunk {
			t.Errorf("%d bytes of own chunks and %d of copies", s.Own.Bytes, s.Hot.Bytes)
		}
		return s.Own.Chunks, s.Hot.Chunks
	}
	ring.other.Store(true)
	for range 2 { // no copy would last from one time to the next
		fetch(0, 100, chunks.Peer)
		if _, hot := within(); hot != 0 {
			t.Errorf("%d copies of what was read once", hot)
		}
	}
	fetch(0, 60, chunks.Peer)
	fetch(0, 60, chunks.Peer)
	if own, hot := within(); own != 0 || hot != 60 {
		t.Errorf("%d own chunks, %d copies", own, hot)
	}
	fetch(0, 60, chunks.Hot)

	ring.other.Store(false)
	for n := range 20 {
		f.chunks.Keep(f.chunks.Of(k, h, 100+n), make([]byte, testChunk))
	}
	if own, hot := within(); own != 20 || hot != 43 { // the keys take some bytes, too
		t.Errorf("%d own chunks, %d copies", own, hot)
	}
	for n := range 80 {
		f.chunks.Keep(f.chunks.Of(k, h, 120+n), make([]byte, testChunk))
	}
	if own, hot := within(); own != 61 || hot != 2 { // a 32nd, and what 61 chunks leave
		t.Errorf("%d own chunks, %d copies", own, hot)
	}
}

// A node's bytes serve on when their owner changes: its copies when it becomes
// the owner, and what it owned when the new owner has nothing to give.
func TestChunksServeOnWhenTheOwnerChanges(t *testing.T) {
	f, st, ring := newFiller(t, nil)
	is := func(k keys.Key, h store.Head, want chunks.Source) {
		t.Helper()
		if v, source, err := chunkAt(f, f.chunks.Of(k, h, 0)); err != nil || int64(len(v)) != h.Size || source != want {
			t.Errorf("%q from %s, %v; want %s", v, source, err, want)
		}
	}
	mine, others := newKey(t), newKey(t)
	h, o := put(t, mine, "mine"), store.Head{Version: "v", Size: 6} // which the store does not have
	is(mine, h, chunks.S3)
	asked := st.asked.Load()

	ring.other.Store(true) // and cannot be reached
	is(mine, h, chunks.Memory)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: []byte("others")})
	is(others, o, chunks.Peer)
	is(others, o, chunks.Peer) // and is kept

	ring.other.Store(false)
	is(others, o, chunks.Hot)
	is(others, o, chunks.Memory)
	if s := f.Stats(); s.Own.Chunks != 2 || s.Hot.Chunks != 0 || s.Hot.Evictions != 0 {
		t.Errorf("%+v", s)
	}

	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusServiceUnavailable})
	is(others, o, chunks.Memory)
	if n := st.asked.Load() - asked; n > 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

// However many ask at once for a chunk that another node owns, it is asked once.
func TestOneFetchOfACopy(t *testing.T) {
	f, _, ring := newFiller(t, nil)
	k := newKey(t)
	h := store.Head{Version: "v", Size: 5}
	asked := make(chan struct{}, 100)
	answer := make(chan struct{})
	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: []byte("other")})
	if _, _, err := chunkAt(f, f.chunks.Of(k, h, 0)); err != nil { // who comes later finds a copy
		t.Fatal(err)
	}
	setRing(f, slow{ring, asked, answer})
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if v, source, err := chunkAt(f, f.chunks.Of(k, h, 0)); err != nil || v != "other" || source != chunks.Peer && source != chunks.Hot {
				t.Errorf("%q from %s, %v", v, source, err)
			}
		})
	}
	<-asked
	close(answer)
	callers.Wait()
	if n := len(asked); n > 0 {
		t.Errorf("asked %d times more", n)
	}
	if s := f.Stats(); fmt.Sprint(s.Hot.Chunks, s.Own.Chunks) != "1 0" {
		t.Errorf("%+v", s)
	}
}

// slow is a ring whose members say that they were asked, and wait to answer.
type slow struct {
	*alone
	asked  chan<- struct{}
	answer <-chan struct{}
}

func (s slow) Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error) {
	s.asked <- struct{}{}
	<-s.answer
	return s.alone.Ask(ctx, m, q)
}
