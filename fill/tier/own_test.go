package tier

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zeebo/xxh3"
)

var groups atomic.Int64

// ownOf makes the part of a tier for own chunks, of so many bytes.
func ownOf(most int64) *Own {
	own, _, _ := New(fmt.Sprint("test", groups.Add(1)), most*hotShare/(hotShare-1), nil)
	own.most = most
	return own
}

// A tier full of chunks takes as much memory as it is said to, however small they
// are.
func TestATierTakesWhatItCounts(t *testing.T) {
	for _, size := range []int{1, 100, 1000, 10000} {
		const tier = 8 << 20
		o := ownOf(tier)
		before := heap()
		for n := 0; o.Held().Evictions == 0; n++ {
			o.Add(fmt.Sprintf("0,4,7,32,26:testobjects%032x%026dsome/folder/object-%d", n, n, n), 0, make([]byte, size)) // as long as names are
		}
		took := heap() - before
		if took < tier*85/100 || took > tier*106/100 {
			t.Errorf("chunks of %d bytes take %d bytes where %d are counted", size, took, int64(tier))
		}
		runtime.KeepAlive(o)
	}
}

// A tier that shrinks gives back what it took.
func TestAShrunkTierGivesMemoryBack(t *testing.T) {
	o := ownOf(8 << 20)
	before := heap()
	for n := 0; o.Held().Evictions == 0; n++ {
		o.Add(fmt.Sprint(n), 0, make([]byte, 100))
	}
	o.Resize(1 << 20)
	if took := heap() - before; took > 1<<20*5/4 {
		t.Errorf("it takes %d bytes of %d", took, 1<<20)
	}
	runtime.KeepAlive(o)
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
	own := ownOf(1 << 20)
	for n := range 200 {
		name := fmt.Sprint(n)
		var loads atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				b, err := own.Fill(name, 0, func() ([]byte, error) {
					loads.Add(1)
					return []byte("bytes"), nil
				})
				if err != nil || string(b) != "bytes" {
					t.Errorf("%q, %v", b, err)
				}
			})
			all.Go(func() { own.Get(name) })
		}
		if n%2 == 0 {
			all.Go(func() { own.Add(name, 0, []byte("bytes")) })
		}
		all.Wait()
		if n := loads.Load(); n > 1 {
			t.Fatalf("loaded %d times", n)
		}
		if h := own.Held(); h.Chunks != int64(n+1) {
			t.Fatalf("%+v", h)
		}
	}
}

// BenchmarkOwnAtOnce is a look at a chunk by as many as there are processors.
func BenchmarkOwnAtOnce(b *testing.B) {
	own := ownOf(1 << 20)
	own.Add("a", 0, []byte("bytes"))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := own.Get("a"); !ok {
				b.Error("it is not there")
			}
		}
	})
}

// The checksum of a chunk is that of its bytes, taken once, also if the chunk leaves meanwhile.
func TestSum(t *testing.T) {
	own := ownOf(1 << 20)
	if _, ok := own.Sum("none"); ok {
		t.Error("there is a checksum of what is not there")
	}
	b := []byte("bytes")
	own.Add("name", 0, b)
	want := xxh3.Hash(b)
	for range 2 {
		if sum, ok := own.Sum("name"); !ok || sum != want {
			t.Errorf("%x, %v", sum, ok)
		}
		b[0]++ // as by a bit that flips: what was taken before stays
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range 500 {
				name := fmt.Sprint(n % 3)
				own.Add(name, 0, []byte(name))
				if sum, ok := own.Sum(name); ok && sum != xxh3.HashString(name) {
					t.Errorf("%s: %x", name, sum)
				}
				own.Remove(name)
			}
		})
	}
	all.Wait()
}
