package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

func TestObjectsOfSeveralChunks(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	for _, size := range []int{0, 1, testChunk - 1, testChunk, testChunk + 1, 3*testChunk + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			k := newKey(t)
			body := strings.Repeat("0123456789", size/10+1)[:size]
			put(t, k, body)
			if got := read(t, f, k); got != body {
				t.Errorf("%d bytes came back as %d others", size, len(got))
			}
			before := st.asked.Load()
			o, err := f.Open(t.Context(), k, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, off := range []int{0, size / 2, max(0, size-3), size} {
				if rest, err := partOf(t.Context(), o, off, size); err != nil || rest != body[off:] {
					t.Errorf("from %d: %d bytes, %v", off, len(rest), err)
				}
			}
			if n := st.asked.Load() - before; n != 0 {
				t.Errorf("what is in memory was asked for %d times", n)
			}
		})
	}
}

// A part costs its own chunks, though they are fetched ahead, and leaving in its
// middle gives all memory back.
func TestAPartCostsItsChunks(t *testing.T) {
	f, st, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = 128<<10, planOf(16<<20, 128<<10) })
	k := newKey(t)
	body := strings.Repeat("0123456789abcdef", 6<<13) // six chunks
	put(t, k, body)
	o, err := f.Open(t.Context(), k, Options{Lazy: true})
	if err != nil {
		t.Fatal(err)
	}
	before := st.asked.Load()
	if got, err := partOf(t.Context(), o, 64<<10, 300<<10); err != nil || got != body[64<<10:300<<10] {
		t.Errorf("other bytes, or %v", err)
	}
	f.Close() // after which nothing is under way
	if n := st.asked.Load() - before; n != 3 {
		t.Errorf("three chunks cost %d requests", n)
	}
	p, err := o.Part(t.Context(), 400<<10, o.Head.Size)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if isHeld(f) {
		t.Error("memory is held")
	}
}

// A version that is replaced while it is read is broken off, not mixed.
func TestReplacedWhileRead(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, strings.Repeat("1", 2*testChunk))
	o, err := f.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, k, strings.Repeat("2", 2*testChunk))
	defer o.Close()
	var got strings.Builder
	if err := o.Send(t.Context(), &got); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("error %v", err)
	}
	if strings.Contains(got.String(), "2") {
		t.Error("bytes of two versions")
	}
}

// Cold reads of more bytes than may be held wait for each other, and the memory
// comes back however they end.
func TestColdReadsShareTheirMemory(t *testing.T) {
	f, st, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = 1<<20, planOf(16<<20, 1<<20) })
	body := strings.Repeat("x", 1<<20)
	var readers sync.WaitGroup
	for i := range 40 {
		k := newKey(t)
		put(t, k, body)
		readers.Go(func() {
			switch ctx, leave := context.WithCancel(t.Context()); i % 4 {
			case 0: // leaves at once
				leave()
				if o, err := f.Open(ctx, k, Options{}); err == nil {
					o.Close()
				}
			default:
				defer leave()
				if got := read(t, f, k); got != body {
					t.Errorf("read %d bytes", len(got))
				}
			}
		})
	}
	readers.Wait()
	f.Close()
	if st.asked.Load() < 30 {
		t.Errorf("the store was asked %d times", st.asked.Load())
	}
	if isHeld(f) {
		t.Error("memory was not given back")
	}
}

// Streams that together want far more than may be held all come to their end:
// none that holds memory waits for memory. Those that break off give theirs back.
func TestStreamsShareTheirMemory(t *testing.T) {
	f, _, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = 128<<10, planOf(512<<10, 128<<10) })
	body := strings.Repeat("0123456789abcdef", 6<<13) // six chunks; the budget is eight
	var readers sync.WaitGroup
	for i := range 16 {
		k := newKey(t)
		put(t, k, body)
		readers.Go(func() {
			if i%4 == 0 {
				o, err := f.Open(t.Context(), k, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer o.Close()
				if err := o.Send(t.Context(), &breaks{after: i / 4}); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("a caller who left: %v", err)
				}
				return
			}
			if got := read(t, f, k); got != body {
				t.Errorf("%d bytes of %d", len(got), len(body))
			}
		})
	}
	readers.Wait()
	f.Close()
	if isHeld(f) {
		t.Error("memory was not given back")
	}
}

// breaks is a caller who leaves after some writes.
type breaks struct{ after int }

func (w *breaks) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

// stuck is a caller who takes nothing until he is let go.
type stuck struct{ letGo chan struct{} }

func (w stuck) Write(b []byte) (int, error) {
	<-w.letGo
	return len(b), nil
}

// However many slow readers a user has, another one reads what is in memory and
// what is not.
func TestSlowReadersAreNobodyElsesFault(t *testing.T) {
	const chunk = 128 << 10
	f, _, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = chunk, planOf(64*chunk, chunk) })
	body := strings.Repeat("0123456789abcdef", 2*chunk/16)
	var all []keys.Key
	for range 14 {
		k := newKey(t)
		put(t, k, body)
		all = append(all, k)
	}
	for _, k := range all[1:] {
		read(t, f, k)
	}
	letGo := make(chan struct{})
	var readers sync.WaitGroup
	for _, k := range all[2:] {
		readers.Go(func() {
			o, err := f.Open(t.Context(), k, Options{User: "slow"})
			if err != nil { // it waited until the end of the test
				return
			}
			defer o.Close()
			_ = o.Send(t.Context(), stuck{letGo})
		})
	}
	testcluster.Holds(t, "the slow hold what they get", func() bool { return f.Stats().Underway >= 5*chunk })
	for i, k := range all[:2] {
		if got, err := open(t.Context(), f, k, Options{User: "another"}); err != nil || got != body {
			t.Errorf("object %d: %d bytes, %v", i, len(got), err)
		}
	}
	close(letGo)
	readers.Wait()
	f.Close()
	if isHeld(f) {
		t.Error("memory is held")
	}
}

// A lookup that waits for memory for what the store gives lets the store go.
func TestNoAnswerOfTheStoreWaitsForMemory(t *testing.T) {
	f, st, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan, c.Plan.Streams = 128<<10, planOf(16<<20, 128<<10), 150<<10 })
	k := newKey(t)
	body := strings.Repeat("x", 100<<10)
	put(t, k, body)
	other := newKey(t)
	put(t, other, body)
	held, err := f.Open(t.Context(), other, Options{User: "a"})
	if err != nil {
		t.Fatal(err)
	}
	before := st.asked.Load()
	var answered atomic.Int64
	st.interfere(nil, func() { answered.Add(1) })
	got := make(chan string, 1)
	go func() { got <- read(t, f, k) }()
	testcluster.Holds(t, "the store is let go", func() bool { return answered.Load() == 1 })
	select {
	case <-got:
		t.Error("it took memory that there is not")
	default:
	}
	held.Close()
	if b := <-got; b != body {
		t.Errorf("%d bytes", len(b))
	}
	if n := st.asked.Load() - before; n != 2 {
		t.Errorf("the store was asked %d times", n)
	}
}
