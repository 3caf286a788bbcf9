package fill

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

func TestManyCallersOneRequest(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "bytes")
	release := make(chan struct{})
	st.interfere(func() { <-release }, nil)

	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			if o, err := f.Open(t.Context(), k, Options{}); err != nil || o.Head.Size != 5 {
				t.Errorf("got %+v, %v", o, err)
			}
		})
	}
	testcluster.Holds(t, "the request", func() bool { return st.asked.Load() == 1 })
	close(release)
	callers.Wait()
	if got := read(t, f, k); got != "bytes" {
		t.Errorf("read %q", got)
	}
	if n := st.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestAbsenceIsAnAnswer(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	for range 3 {
		if _, err := f.Open(t.Context(), k, Options{}); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if n := st.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestCallerWhoLeavesTakesNobodyAlong(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "bytes")
	release := make(chan struct{})
	st.interfere(func() { <-release }, nil)

	ctx, leave := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := f.Open(ctx, k, Options{}); first <- err }()
	testcluster.Holds(t, "the request", func() bool { return st.asked.Load() == 1 })
	go func() { _, err := f.Open(t.Context(), k, Options{}); second <- err }()
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("the second caller got %v", err)
	}
	if n := st.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	h := put(t, k, "bytes")
	st.interfere(func() { panic("broken") }, nil)
	if _, err := f.Open(t.Context(), k, Options{}); !errors.Is(err, chunks.ErrPanic) {
		t.Errorf("a lookup: %v", err)
	}
	if _, err := f.Open(t.Context(), k, Options{Fresh: true}); !errors.Is(err, chunks.ErrPanic) {
		t.Errorf("a fresh lookup: %v", err)
	}
	if _, _, err := chunkAt(f, f.chunks.Of(k, h, 0)); !errors.Is(err, chunks.ErrPanic) {
		t.Errorf("a chunk: %v", err)
	}
	st.interfere(nil, nil)
	if got := read(t, f, k); got != "bytes" {
		t.Errorf("afterwards: %q", got)
	}
}

// A lookup has been told v1 by the store when the key is revoked and written.
func TestLateAnswerIsNeitherKeptNorJoined(t *testing.T) {
	for name, revoke := range map[string]func(*Filler, *alone, keys.Key){
		"by a peer":       func(f *Filler, _ *alone, k keys.Key) { f.heads.Drop(k) },
		"by a write here": func(f *Filler, _ *alone, k keys.Key) { begin(t, f, k).End(heads.Outcome{}) },
		"by the ring":     func(f *Filler, ring *alone, _ keys.Key) { meet(f, ring) },
		"by its leaving":  func(f *Filler, _ *alone, _ keys.Key) { retire(t, f) },
	} {
		t.Run(name, func(t *testing.T) {
			f, st, ring := newFiller(t, nil)
			k := newKey(t)
			put(t, k, "v1")
			told, release := make(chan struct{}), make(chan struct{})
			st.interfere(nil, func() { close(told); <-release })
			early := make(chan string)
			go func() { early <- read(t, f, k) }()
			<-told
			st.interfere(nil, nil)

			revoke(f, ring, k)
			put(t, k, "v2")
			if got := read(t, f, k); got != "v2" {
				t.Errorf("a caller joined the old lookup and read %q", got)
			}
			close(release)
			<-early // v1 or, since its chunk was fetched anew, v2: it began before the write
			if got := read(t, f, k); got != "v2" {
				t.Errorf("the old answer was kept: %q", got)
			}
		})
	}
}

func TestDuringAWriteEveryReadAsksTheStore(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	read(t, f, k)
	turn := begin(t, f, k)
	if !turn.Present {
		t.Error("the key was not known to be there")
	}
	before := st.asked.Load()
	for range 3 {
		read(t, f, k)
	}
	if n := st.asked.Load() - before; n != 3 {
		t.Errorf("three reads asked the store %d times", n)
	}
	h := put(t, k, "v2")
	end(t, turn, h)
	if err := f.Prime(t.Context(), k, h, 0, []byte("v2")); err != nil {
		t.Fatal(err)
	}
	before = st.asked.Load()
	if got := read(t, f, k); got != "v2" {
		t.Errorf("read %q", got)
	}
	if n := st.asked.Load() - before; n != 0 {
		t.Errorf("after the write the store was asked %d times", n)
	}
}

func TestUnknownOutcomeLeavesNoHead(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	upload(t, begin(t, f, k)).End(heads.Outcome{Unknown: true})
	if got := read(t, f, k); got != "v1" {
		t.Errorf("read %q", got)
	}
	put(t, k, "v2") // the store completes the write late
	if got := read(t, f, k); got != "v2" {
		t.Errorf("read %q", got)
	}
	if n := st.asked.Load(); n != 3 /* the second finds another head than that of the bytes in memory */ {
		t.Errorf("two reads asked the store %d times", n)
	}
}

func TestOwnerAsksAgainAfterRevalidate(t *testing.T) {
	f, st, _ := trusting(t, heads.Config{Lease: time.Millisecond, Revalidate: 20 * time.Millisecond}, nil)
	k := newKey(t)
	put(t, k, "v1")
	read(t, f, k)
	put(t, k, "v2") // by other means than Larder
	testcluster.Holds(t, "the new version", func() bool { return read(t, f, k) == "v2" })
	if n := st.asked.Load(); n < 2 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestFreshAsksTheStore(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	read(t, f, k)
	h := put(t, k, "v2")
	if got, _, err := f.Stat(t.Context(), k, Options{Fresh: true}); err != nil || got.Version != h.Version {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := read(t, f, k); got != "v2" {
		t.Errorf("what a reader saw is gone for the next: %q", got)
	}
}

// The head is under a lease, but its version was replaced and is not in memory.
func TestVersionThatIsGone(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	if _, _, err := f.Stat(t.Context(), k, Options{}); err != nil {
		t.Fatal(err)
	}
	put(t, k, "v2")
	if _, err := f.Open(t.Context(), k, Options{}); !errors.Is(err, store.ErrPrecondition) {
		t.Error(err)
	}
	if got := read(t, f, k); got != "v2" { // the head was dropped
		t.Errorf("read %q", got)
	}
}

func TestANodeThatLeavesTrustsNothing(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	read(t, f, k)
	retire(t, f)
	read(t, f, k)
	before := st.asked.Load()
	if read(t, f, k); st.asked.Load() == before {
		t.Error("a head was kept after the node has retired")
	}
}

// An unknown outcome outlives a known write after it: the store may complete
// the first one last.
func TestUnknownOutcomeOutlivesTheNextWrite(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	upload(t, begin(t, f, k)).End(heads.Outcome{Unknown: true})
	turn := begin(t, f, k)
	h := put(t, k, "v3")
	end(t, turn, h)
	if got := read(t, f, k); got != "v3" {
		t.Errorf("read %q", got)
	}
	put(t, k, "v2")
	if got := read(t, f, k); got != "v2" {
		t.Errorf("the store says v2, the node %q", got)
	}
}

// During a write a lookup is under way that saw the store before it. Who asks
// after the acknowledgement must not be given its answer.
func TestNobodyJoinsALookupThatIsNotKept(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	turn := begin(t, f, k)
	told, release := make(chan struct{}), make(chan struct{})
	st.interfere(nil, func() { close(told); <-release })
	early, late := make(chan string), make(chan string)
	go func() { early <- read(t, f, k) }()
	<-told
	st.interfere(nil, nil)
	put(t, k, "v2") // visible: a reader elsewhere may have seen it
	go func() { late <- read(t, f, k) }()
	for range 100 { // whoever joins has joined by then, or asks later and gets v2 all the same
		runtime.Gosched()
	}
	close(release)
	<-early
	if got := <-late; got != "v2" {
		t.Errorf("a late reader got %q", got)
	}
	turn.End(heads.Outcome{})
}

// A HEAD and a second GET during the first GET of a cold key cost nothing.
func TestHeadBesideGetOfAColdKey(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "bytes")
	release := make(chan struct{})
	st.interfere(func() { <-release }, nil)
	var readers sync.WaitGroup
	readers.Go(func() { read(t, f, k) })
	testcluster.Holds(t, "the request", func() bool { return st.asked.Load() == 1 })
	readers.Go(func() { _, _, _ = f.Stat(t.Context(), k, Options{}) })
	readers.Go(func() { read(t, f, k) })
	for range 100 {
		runtime.Gosched()
	}
	close(release)
	readers.Wait()
	if n := st.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestOwnerOutOfReach(t *testing.T) {
	f, st, ring := newFiller(t, nil)
	ring.other.Store(true)
	k := newKey(t)
	put(t, k, "v1")
	read(t, f, k)
	put(t, k, "v2")
	if got := read(t, f, k); got != "v2" {
		t.Errorf("an answer past the owner was kept: %q", got)
	}
	if n := st.asked.Load(); n != 2 {
		t.Errorf("two reads asked the store %d times", n)
	}
}

// The owner dies in the middle of a chunk: half of it comes, then nothing.
func TestOwnerDiesInMidAnswer(t *testing.T) {
	f, st, ring := newFiller(t, nil)
	k := newKey(t)
	h := put(t, k, "whole bytes")
	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: []byte("whole")})
	v, source, err := chunkAt(f, f.chunks.Of(k, h, 0))
	if err != nil || v != "whole bytes" || source != chunks.S3 {
		t.Errorf("got %q from %s, %v", v, source, err)
	}
	if n := st.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

// The owner says for certain that it cannot serve: the store is not asked again.
func TestOwnersVerdict(t *testing.T) {
	f, st, ring := newFiller(t, nil)
	k := newKey(t)
	h := put(t, k, "bytes")
	ring.other.Store(true)
	for status, want := range map[int]error{503: store.ErrUnavailable, 502: store.ErrUnexpected, 412: store.ErrPrecondition} {
		ring.answer.Store(&cluster.Answer{Status: status, Text: []byte("because")})
		if _, _, err := chunkAt(f, f.chunks.Of(k, h, 0)); !errors.Is(err, want) {
			t.Errorf("chunk, status %d: %v", status, err)
		}
		if _, err := f.resolve(t.Context(), k, headOnly, "", f.ownerOf(k)); !errors.Is(err, want) {
			t.Errorf("head, status %d: %v", status, err)
		}
	}
	if n := st.asked.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

// A write that began before the ring changed publishes nothing: another node
// may have written the key since, as its owner.
func TestAWriteAcrossARingChangePublishesNothing(t *testing.T) {
	f, st, ring := newFiller(t, nil)
	k := newKey(t)
	turn := begin(t, f, k)
	h := put(t, k, "v1")
	meet(f, ring)
	part(f, ring)
	put(t, k, "v2")
	end(t, turn, h)
	if got := read(t, f, k); got != "v2" {
		t.Errorf("read %q", got)
	}
	if n := st.asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}
