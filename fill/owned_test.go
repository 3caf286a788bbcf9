package fill

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"larder/keys"
	"larder/store"
)

// A tier full of chunks takes as much memory as it is said to, however small they
// are.
func TestATierTakesWhatItCounts(t *testing.T) {
	for _, size := range []int{1, 100, 1000, 10000} {
		const tier = 8 << 20
		o, err := newOwned(Config{Group: fmt.Sprint("test", groups.Add(1)), ChunkSize: testChunk}, tier, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		before := heap()
		for n := 0; o.held().Evictions == 0; n++ {
			k := keys.Key{Org: "test", Service: keys.Objects, Name: fmt.Sprintf("some/folder/object-%d", n)}
			v := keys.Version{ETag: fmt.Sprintf("%032x", n), Write: fmt.Sprintf("%026d", n)}
			o.Add(keys.Chunk(k, v, 0), make([]byte, size))
		}
		took := heap() - before
		if took < tier*85/100 || took > tier*106/100 {
			t.Errorf("chunks of %d bytes take %d bytes where %d are counted", size, took, int64(tier))
		}
		runtime.KeepAlive(o)
	}
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// However many ask at once for a chunk, it is loaded once: also if it is put there
// meanwhile.
func TestOneLoadOfAChunk(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	var loads atomic.Int64
	f.owned.load = func(chunk, string) ([]byte, Source, error) {
		loads.Add(1)
		return []byte("bytes"), S3, nil
	}
	k := newKey(t)
	for n := range 200 {
		c := f.chunkOf(k, store.Head{Version: fmt.Sprint(n), Size: 5}, 0)
		var all sync.WaitGroup
		loads.Store(0)
		for range 4 {
			all.Go(func() {
				if b, _, err := f.owned.Get(c, c.name()); err != nil || string(b) != "bytes" {
					t.Errorf("%q, %v", b, err)
				}
			})
			all.Go(func() { f.owned.Peek(c.name()) })
		}
		if n%2 == 0 {
			all.Go(func() { f.owned.Add(c.name(), []byte("bytes")) })
		}
		all.Wait()
		if n := loads.Load(); n > 1 {
			t.Fatalf("loaded %d times", n)
		}
		if h := f.owned.held(); h.Chunks != int64(n+1) {
			t.Fatalf("%+v", h)
		}
	}
}

// BenchmarkOwnedAtOnce is a look at a chunk by as many as there are processors.
func BenchmarkOwnedAtOnce(b *testing.B) {
	f, k := warm(b)
	h, _, err := f.Stat(b.Context(), k, Options{})
	if err != nil {
		b.Fatal(err)
	}
	name := f.chunkOf(k, h, 0).name()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := f.owned.Peek(name); !ok {
				b.Error("it is not there")
			}
		}
	})
}
