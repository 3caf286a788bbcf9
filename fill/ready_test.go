package fill

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unsafe"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// StatHere is what Stat would answer if nothing has to be asked, absence too.
func TestStatHere(t *testing.T) {
	f, st, _ := trusting(t, heads.Config{Lease: time.Minute, Revalidate: time.Hour}, nil)
	present, absent := newKey(t), newKey(t)
	put(t, present, "value")
	for _, k := range []keys.Key{present, absent} {
		if _, ok, err := f.StatHere(k); ok || err != nil {
			t.Errorf("%s, which nobody has asked for: %v, %v", k, ok, err)
		}
		_, _, _ = f.Stat(t.Context(), k, Options{}) // one of them is absent
	}
	asked := st.asked.Load()
	if h, ok, err := f.StatHere(present); !ok || err != nil || h.Size != int64(len("value")) {
		t.Errorf("what is there: %+v, %v, %v", h, ok, err)
	}
	if _, ok, err := f.StatHere(absent); !ok || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what is absent: %v, %v", ok, err)
	}
	if n := st.asked.Load() - asked; n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	f.heads.Drop(present)
	if _, ok, _ := f.StatHere(present); ok {
		t.Error("what was dropped is known")
	}
}

// Ready is what Open would answer from memory at once, and nothing else.
func TestReady(t *testing.T) {
	f, st, _ := trusting(t, heads.Config{Lease: time.Minute, Revalidate: time.Hour}, nil)
	present, absent, large, empty := newKey(t), newKey(t), newKey(t), newKey(t)
	put(t, present, "value")
	put(t, large, strings.Repeat("x", testChunk+1))
	put(t, empty, "")
	is := func(k keys.Key, want string, ready bool) {
		t.Helper()
		r, ok := f.Ready(k, "ada")
		if ok != ready || string(r.View) != want || ok && r.Head.Size != int64(len(want)) {
			t.Errorf("%s: %q, ready: %v; want %q", k, r.View, ok, want)
		}
		r.Close()
	}
	for _, k := range []keys.Key{present, absent, large, empty} {
		is(k, "", false) // nobody knows it
		if o, err := f.Open(t.Context(), k, Options{}); err == nil {
			o.Close()
		}
	}
	asked := st.asked.Load()
	is(present, "value", true)
	is(empty, "", true)
	is(absent, "", false)
	is(large, "", false)
	if n := st.asked.Load() - asked; n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	f.heads.Drop(present)
	is(present, "", false)
	if read(t, f, present) != "value" {
		t.Error("it is lost")
	}
	turn := begin(t, f, present)
	is(present, "", false) // it is being written
	end(t, turn, put(t, present, "other"))
	is(present, "", false)
	if got := read(t, f, present); got != "other" {
		t.Errorf("%q", got)
	}
	is(present, "other", true)
	retire(t, f)
	is(present, "", false)
}

// What expires is ready until then.
func TestReadyUntilItExpires(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	moment := time.Now().Add(2 * time.Second)
	putUntil(t, k, moment)
	if got := read(t, f, k); got != "v" {
		t.Fatalf("%q", got)
	}
	testcluster.Holds(t, "it is not ready any more", func() bool {
		r, ok := f.Ready(k, "ada")
		r.Close()
		if late := time.Since(moment.Truncate(time.Second)); ok && late > time.Second {
			t.Fatalf("ready %s after its moment", late)
		}
		return !ok
	})
}

// The copy of a chunk that another node owns is as good, under the lease.
func TestReadyFromACopy(t *testing.T) {
	asker, _, owner, _, _ := newPair(t)
	k := newKey(t)
	put(t, k, "value")
	read(t, owner, k)
	if _, ok := asker.Ready(k, "ada"); ok {
		t.Error("ready before it is known")
	}
	for range 4 { // the head brings the bytes; they are fetched once, and again, and kept
		read(t, asker, k)
	}
	if r, ok := asker.Ready(k, "ada"); !ok || string(r.View) != "value" || r.Source != "hot" {
		t.Errorf("%q from %s, ready: %v", r.View, r.Source, ok)
	}
	asker.heads.Drop(k)
	if _, ok := asker.Ready(k, "ada"); ok {
		t.Error("ready without a lease")
	}
}

// What another node owns is ready if it is small: its owner is asked, and gives what it
// has, or this node reads it from the store.
func TestReadyFromItsOwner(t *testing.T) {
	asker, ring, owner, _, atAsker := newPair(t)
	k := newKey(t)
	put(t, k, "value")
	read(t, owner, k)
	read(t, asker, k) // the lease
	name := []byte(k.Name)
	seen := k
	seen.Name = unsafe.String(unsafe.SliceData(name), len(name))
	asked, stored := ring.asked.Load(), atAsker.asked.Load()
	r, ok := asker.Ready(seen, "ada")
	clear(name) // nothing is kept of it
	if !ok || string(r.View) != "value" || r.Source != "peer" || r.Head.Size != 5 {
		t.Errorf("%q from %s, ready: %v", r.View, r.Source, ok)
	}
	if ring.asked.Load()-asked != 1 || atAsker.asked.Load() != stored {
		t.Error("not its owner alone was asked, once")
	}
	r.Close()
	if isHeld(asker) {
		t.Error("held for ever")
	}
	clear(ring.routes) // it answers nothing any more
	r, ok = asker.Ready(k, "ada")
	if !ok || string(r.View) != "value" || r.Source != "s3" {
		t.Errorf("%q from %s, ready: %v", r.View, r.Source, ok)
	}
	r.Close()
}

// A chunk that is counted is so as long as it is being sent, and is not ready if others
// may wait for its memory.
func TestReadyIsCounted(t *testing.T) {
	const size = 100 << 10
	f, _, ring := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = 1<<20, planOf(64<<20, 1<<20) })
	k := newKey(t)
	put(t, k, strings.Repeat("x", size))
	read(t, f, k)
	if isHeld(f) {
		t.Fatal("held before")
	}
	r, ok := f.Ready(k, "ada")
	if !ok || len(r.View) != size || f.Stats().Underway != size {
		t.Errorf("ready: %v, %d bytes, of which %d are counted", ok, len(r.View), f.Stats().Underway)
	}
	again, ok := f.Ready(k, "bob")
	if !ok || f.Stats().Underway != size {
		t.Errorf("ready: %v, %d counted", ok, f.Stats().Underway)
	}
	again.Close()
	r.Close()
	if isHeld(f) {
		t.Error("held for ever")
	}

	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: make([]byte, size)})
	c := f.chunks.Of(k, r.Head, 0)
	c1, err := f.chunks.Begin(context.Background(), "ada", c, false) // which waits for memory if it has to
	if err != nil {
		t.Fatal(err)
	}
	if err := c1.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ring.other.Store(false)
	if r, ok := f.Ready(k, "ada"); ok {
		r.Close()
		t.Error("ready, though others may wait for its memory")
	}
	c1.Close()
	if r, ok = f.Ready(k, "ada"); !ok {
		t.Error("not ready")
	}
	r.Close()
	if isHeld(f) {
		t.Error("held for ever")
	}
}

// Nothing is kept of a key whose name is a view of bytes that change later.
func TestReadyKeepsNothingOfTheKey(t *testing.T) {
	f, _, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = 1<<20, planOf(64<<20, 1<<20) })
	for _, size := range []int{10, 100 << 10} {
		k := newKey(t)
		put(t, k, strings.Repeat("x", size))
		read(t, f, k)
		bytes := []byte(k.Name)
		seen := k
		seen.Name = unsafe.String(unsafe.SliceData(bytes), len(bytes))
		r, ok := f.Ready(seen, "ada")
		if !ok {
			t.Fatal("not ready")
		}
		for i := range bytes {
			bytes[i] = '#'
		}
		again, ok := f.Ready(k, "ada")
		if !ok || len(again.View) != size {
			t.Error("not found again")
		}
		again.Close()
		r.Close()
		if isHeld(f) {
			t.Error("held for ever")
		}
	}
}

// What is ready, and is not counted, takes no memory.
func TestReadyTakesNoMemory(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "value")
	read(t, f, k)
	if n := testing.AllocsPerRun(100, func() {
		r, ok := f.Ready(k, "ada")
		if !ok {
			t.Error("not ready")
		}
		r.Close()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
