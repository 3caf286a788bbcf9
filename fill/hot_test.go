package fill

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

func hotOf(t *testing.T, room func() int64) *hot {
	t.Helper()
	h, err := newHot(room)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestCopiesKeepWhatWasUsedLast(t *testing.T) {
	one := bytesOf("a", make([]byte, 24))
	room := 4 * one
	c := hotOf(t, func() int64 { return room })
	has := func(want string) {
		t.Helper()
		var got []string
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			c.mu.Lock()
			_, there := c.kept.get(key)
			c.mu.Unlock()
			if there {
				got = append(got, key)
			}
		}
		if strings.Join(got, "") != want {
			t.Errorf("holds %v, want %s", got, want)
		}
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		c.keep(key, make([]byte, 24))
	}
	if h := c.held(); h != (Held{Bytes: 4 * one, Chunks: 4}) {
		t.Errorf("%+v", h)
	}
	if v, ok := c.get("a"); !ok || len(v) != 24 {
		t.Error("a is not there")
	}
	c.keep("a", make([]byte, 24)) // it is there
	c.keep("e", make([]byte, 24)) // at the cost of b
	has("acde")
	c.keep("b", make([]byte, 4*one)) // never fits
	has("acde")
	if h := c.held(); h != (Held{Bytes: 4 * one, Chunks: 4, Evictions: 1}) {
		t.Errorf("%+v", h)
	}
	room = 3*one - 1
	c.fit()
	has("de")
	room = 0
	c.fit()
	if h := c.held(); h != (Held{Evictions: 5}) {
		t.Errorf("%+v", h)
	}
}

// Copies live in what the node's own chunks leave, and give it up.
func TestCopiesMakeRoomForOwnChunks(t *testing.T) {
	f, _, ring := newFiller(t, nil) // of 64 chunks
	k := newKey(t)
	h := store.Head{Version: "v", Size: 200 * testChunk}
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: make([]byte, testChunk)})
	fetch := func(from, to int, want Source) {
		t.Helper()
		for n := from; n < to; n++ {
			if _, source, err := chunkAt(f, f.chunkOf(k, h, n)); err != nil || source != want {
				t.Fatalf("chunk %d from %s, %v", n, source, err)
			}
		}
	}
	within := func() (own, hot int64) {
		t.Helper()
		s := f.Stats()
		if s.Own.Bytes+s.Hot.Bytes > f.cfg.Plan.Tier {
			t.Errorf("%d bytes of own chunks and %d of copies", s.Own.Bytes, s.Hot.Bytes)
		}
		return s.Own.Chunks, s.Hot.Chunks
	}
	ring.other.Store(true)
	for range 2 { // no copy would last from one time to the next
		fetch(0, 100, Peer)
		if _, hot := within(); hot != 0 {
			t.Errorf("%d copies of what was read once", hot)
		}
	}
	fetch(0, 60, Peer)
	fetch(0, 60, Peer)
	if own, hot := within(); own != 0 || hot != 60 {
		t.Errorf("%d own chunks, %d copies", own, hot)
	}
	fetch(0, 60, Hot)

	ring.other.Store(false)
	for n := range 20 {
		f.owned.Add(f.chunkOf(k, h, 100+n).name(), make([]byte, testChunk))
	}
	if own, hot := within(); own != 20 || hot != 43 { // the keys take some bytes, too
		t.Errorf("%d own chunks, %d copies", own, hot)
	}
	for n := range 80 {
		f.owned.Add(f.chunkOf(k, h, 120+n).name(), make([]byte, testChunk))
	}
	if own, hot := within(); own != 61 || hot != 2 { // a 32nd, and what 61 chunks leave
		t.Errorf("%d own chunks, %d copies", own, hot)
	}
}

// A copy that comes while an own chunk does leaves no more than there is room for:
//
//	copy: asks for the room
//	                          own chunk: takes all of it, makes the copies fit
//	copy: is kept
func TestCopyAndOwnChunkAtOnce(t *testing.T) {
	var own sync.WaitGroup
	var c *hot
	room := int64(1000)
	c = hotOf(t, func() int64 {
		was := room
		if room > 0 {
			room = 0
			own.Go(c.fit)
			if c.mu.TryLock() { // else it waits until the copy is kept
				c.mu.Unlock()
				own.Wait()
			}
		}
		return was
	})
	c.keep("a", make([]byte, 24))
	own.Wait()
	if h := c.held(); h.Bytes > 0 {
		t.Errorf("%+v, and no room", h)
	}
}

// A node's bytes serve on when their owner changes: its copies when it becomes
// the owner, and what it owned when the new owner has nothing to give.
func TestChunksServeOnWhenTheOwnerChanges(t *testing.T) {
	f, st, ring := newFiller(t, nil)
	is := func(k keys.Key, h store.Head, want Source) {
		t.Helper()
		if v, source, err := chunkAt(f, f.chunkOf(k, h, 0)); err != nil || int64(len(v)) != h.Size || source != want {
			t.Errorf("%q from %s, %v; want %s", v, source, err, want)
		}
	}
	mine, others := newKey(t), newKey(t)
	h, o := put(t, mine, "mine"), store.Head{Version: "v", Size: 6} // which the store does not have
	is(mine, h, S3)
	asked := st.asked.Load()

	ring.other.Store(true) // and cannot be reached
	is(mine, h, Memory)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: []byte("others")})
	is(others, o, Peer)
	is(others, o, Peer) // and is kept

	ring.other.Store(false)
	is(others, o, Hot)
	is(others, o, Memory)
	if s := f.Stats(); s.Own.Chunks != 2 || s.Hot.Chunks != 0 || s.Hot.Evictions != 0 {
		t.Errorf("%+v", s)
	}

	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusServiceUnavailable})
	is(others, o, Memory)
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
	f.ring = slow{ring, asked, answer}
	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: []byte("other")})
	f.hot.wanted(f.chunkOf(k, h, 0).name(), 5) // it was fetched before: who comes late finds a copy
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if v, source, err := chunkAt(f, f.chunkOf(k, h, 0)); err != nil || v != "other" || source != Peer && source != Hot {
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
