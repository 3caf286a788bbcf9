package tier

import (
	"fmt"
	"testing"

	"larder/test/accesses"
)

// Five nodes, each with a fifth of the memory for a tenth of the data, answer more
// reads than one LRU of all of that memory.
func TestNodesHoldMoreThanOneLRU(t *testing.T) {
	twitter, err := accesses.Twitter()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trace []accesses.Access
		least float64
	}{
		"16 KiB":  {accesses.Zipf(10_000, 80_000, 0.99, 16<<10), 1.08},
		"1 KiB":   {accesses.Zipf(12_800, 8*12_800, 0.99, 1<<10), 1.08},
		"twitter": {scaled(twitter, 16), 1.02},
	} {
		t.Run(name, func(t *testing.T) {
			_, size := accesses.Data(c.trace)
			warm := len(c.trace) / 2
			got, want := nodesHits(c.trace, warm, size/10), accesses.LRU(c.trace, warm, size/10, nameBytes)
			t.Logf("%.4f, one LRU %.4f: %.3f", got, want, got/want)
			if got < c.least*want {
				t.Errorf("five nodes answer %.4f of the reads, one LRU %.4f, want %v times as many", got, want, c.least)
			}
		})
	}
}

// nameBytes is what the LRU counts beside the bytes: a name.
const nameBytes = 20

// scaled is a trace of objects that are so many times as large.
func scaled(all []accesses.Access, times int64) []accesses.Access {
	out := make([]accesses.Access, len(all))
	for i, a := range all {
		out[i] = accesses.Access{Object: a.Object, Size: a.Size * times}
	}
	return out
}

// nodesHits is the share of the requests from warm on, each at another of five nodes,
// that the memory of one of them answers.
func nodesHits(all []accesses.Access, warm int, memory int64) float64 {
	const nodes = 5
	var owns [nodes]*Own
	var hots [nodes]*Hot
	for i := range owns {
		owns[i], hots[i], _ = New(fmt.Sprint("replay", groups.Add(1)), memory/nodes, nil)
	}
	hits := 0
	for i, a := range all {
		name := fmt.Sprint(a.Object)
		asked, owner := i%nodes, int(IDOf(name)[0])*nodes/256
		if read(owns[owner], hots[asked], asked == owner, name, a.Size) && i >= warm {
			hits++
		}
	}
	return float64(hits) / float64(len(all)-warm)
}

// read reads an object as package chunks does, and reports whether memory has it.
func read(owner *Own, copies *Hot, isOwner bool, name string, size int64) bool {
	if !isOwner {
		if _, ok := copies.Get(name); ok {
			return true
		}
	}
	_, hit := owner.Get(name)
	if !hit {
		owner.Add(name, 0, make([]byte, size))
	}
	if !isOwner && copies.Wanted(name, size) {
		copies.Keep(name, make([]byte, size))
	}
	return hit
}
