package tier

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// A table that is compacted while others change it is what it would be without, and they
// have their turn as often as is promised.
func TestTableWhileItIsCompacted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2 {
		is, want := newTable[int, int](), map[int]int{}
		change := func() {
			name := rng.IntN(40 * compactedAtOnce)
			if rng.IntN(2) == 0 {
				is.remove(name)
				delete(want, name)
				return
			}
			v := rng.Int()
			is.set(name, v)
			want[name] = v
		}
		for range 60 * compactedAtOnce {
			change()
		}
		pauses, size := 0, len(want)
		is.compact(func() {
			pauses++
			for range compactedAtOnce / 2 {
				change()
			}
		})
		if !maps.Equal(is.now, want) || is.next != nil {
			t.Fatalf("%d entries, want %d", len(is.now), len(want))
		}
		if least := size / compactedAtOnce / 2; pauses < least {
			t.Errorf("%d pauses for %d entries", pauses, size)
		}
	}
}
