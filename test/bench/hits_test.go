package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"github.com/golang/groupcache/lru"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// hitsRow is how many reads the memories of five nodes answer when they hold a
// tenth of the data, beside a single LRU of the same size that is asked the
// same. A hit is a read for which nobody asks S3.
func hitsRow(b *testing.B, s *bench) {
	for _, size := range []struct {
		what string
		size int64
	}{{"16 KiB", 16 << 10}, {"1 KiB", 1 << 10}} {
		b.Run(size.what[:len(size.what)-4], func(b *testing.B) { s.hits(b, size.what, size.size) })
	}
}

func (s *bench) hits(b *testing.B, what string, size int64) {
	const nodes, chunk = 5, 64 << 10
	objects := int(max(10_000, nodes*4*chunk*10/size)) // a node's memory holds at least four chunks
	reads := 8 * objects
	if s.report.Short {
		reads = 3 * objects
	}
	memory := int64(objects) * size / 10 / nodes
	c := testcluster.New(b, testcluster.Options{Nodes: nodes, Flags: []string{
		"--memory", fmt.Sprint(memory), "--chunk-size", fmt.Sprint(chunk), "--revalidate", "1h",
	}})
	direct := sdk(c.S3Addr())
	content := body(size)
	parallel(b, 16, objects, func(i int) error {
		_, err := direct.PutObject(b.Context(), putInput(name(size, i), content))
		return err
	})
	trace := zipf(objects, reads, 0.99)
	read := func(from, to int) {
		parallel(b, 16, to-from, func(i int) error {
			req, err := http.NewRequest(http.MethodGet, c.Nodes[i%nodes].URL()+path(size, trace[from+i]), nil)
			if err != nil {
				return err
			}
			return ask(req, http.StatusOK)
		})
	}
	warm := reads / 2
	read(0, warm)
	before := c.S3Requests("get", "get_range", "head")
	read(warm, reads)
	ours := 1 - float64(c.S3Requests("get", "get_range", "head")-before)/float64(reads-warm)
	single := lruHits(trace, warm, int(nodes*memory/(size+int64(len(name(size, objects))))))
	s.add(report.Compared("Hit ratio, Zipf 0.99, memory of 10 % of the data over 5 nodes",
		fmt.Sprintf("%s, %d objects", what, objects), "one LRU", "of reads", []float64{ours}, []float64{single}).Judged(atLeast(0.98)))
}

// zipf draws n numbers below objects, the k-th with a weight of 1/k^s: always
// the same ones.
func zipf(objects, n int, s float64) []int {
	sums := make([]float64, objects)
	total := 0.0
	for k := range sums {
		total += math.Pow(float64(k+1), -s)
		sums[k] = total
	}
	r := rand.New(rand.NewPCG(1, 2))
	trace := make([]int, n)
	for i := range trace {
		trace[i], _ = slices.BinarySearch(sums, r.Float64()*total)
	}
	return trace
}

// lruHits is the share of a trace after warm that an LRU of so many entries answers.
func lruHits(trace []int, warm, entries int) float64 {
	cache := lru.New(entries)
	hits := 0
	for i, key := range trace {
		if _, ok := cache.Get(key); !ok {
			cache.Add(key, nil)
		} else if i >= warm {
			hits++
		}
	}
	return float64(hits) / float64(len(trace)-warm)
}

func TestZipf(t *testing.T) {
	const n = 200_000
	counts := make([]int, 10)
	for _, k := range zipf(10, n, 0.99) {
		counts[k]++
	}
	total := 0.0
	for k := range counts {
		total += math.Pow(float64(k+1), -0.99)
	}
	for k, count := range counts {
		want := n * math.Pow(float64(k+1), -0.99) / total
		if math.Abs(float64(count)-want) > 0.05*want {
			t.Errorf("%d came %d times, want about %.0f", k, count, want)
		}
	}
}

func TestLRUHits(t *testing.T) {
	if got := lruHits([]int{1, 2, 1, 3, 2, 1}, 2, 2); got != 0.25 {
		t.Errorf("two entries: %v, want 1 of 4", got)
	}
	if got := lruHits([]int{1, 2, 1, 3, 2, 1}, 3, 3); got != 2.0/3 {
		t.Errorf("three entries: %v, want 2 of 3", got)
	}
}
