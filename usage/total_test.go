package usage

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"larder/keys"
)

// counting is what is known of an org after many starts have counted what many writers have,
// some of it before the base was written last.
func counting(r *rand.Rand, starts, writers int) *holding {
	some := func() accounts {
		a := accounts{}
		for range writers {
			at := account{keys.Objects, fmt.Sprint("writer-", r.IntN(writers))}
			a.add(at, Sum{int64(r.IntN(1000) - 200), int64(r.IntN(5) - 1)})
		}
		return a
	}
	h := newHolding("start-0")
	h.mine, h.base = some(), newBase()
	h.base.sums = some()
	for i := range starts {
		id := fmt.Sprint("start-", i)
		if r.IntN(3) > 0 {
			h.base.starts[id] = startOf(some())
		}
		if sums := some(); i > 0 && r.IntN(4) > 0 {
			h.others[id] = &heard{at: time.Now(), sums: sums, total: sums.total()}
		}
	}
	return h
}

// The total is that of the accounts, whatever was heard and kept, and also when there are more
// writers than are counted apart.
func TestTotal(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := counting(r, 1+r.IntN(5), 1+r.IntN(2*maxWriters))
		if seed%10 == 0 {
			h.base = nil
		}
		if got, want := h.total(), h.accounts().total(); got != want {
			t.Errorf("seed %d: total %+v, and the accounts come to %+v", seed, got, want)
		}
	}
}

// BenchmarkTotal is what a write waits for where its org has a limit, once another member was
// heard: with 200 members and a thousand writers.
func BenchmarkTotal(b *testing.B) {
	h := counting(rand.New(rand.NewPCG(1, 1)), 200, maxWriters)
	b.Run("total", func(b *testing.B) {
		for b.Loop() {
			h.valid = false
			h.total()
		}
	})
	b.Run("accounts", func(b *testing.B) {
		for b.Loop() {
			h.accounts().total()
		}
	})
}
