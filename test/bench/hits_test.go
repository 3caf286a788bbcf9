package bench

import (
	"fmt"
	"net/http"
	"testing"

	"larder/test/accesses"
	"larder/test/bench/report"
	"larder/test/testcluster"
)

// hitsRow is how many reads the memories of five nodes answer when they hold a
// tenth of the data, beside a single LRU of the same size that is asked the
// same. A hit is a read for which nobody asks S3.
func hitsRow(b *testing.B, s *bench) {
	times := 8
	if s.report.Short {
		times = 3
	}
	for _, size := range []struct {
		what    string
		size    int64
		objects int
	}{{"16 KiB", 16 << 10, 10_000}, {"1 KiB", 1 << 10, 12_800}} { // a node's memory holds at least four chunks
		if s.report.Short && size.size == 1<<10 {
			size.objects *= 2 // of which half are read
		}
		b.Run(size.what[:len(size.what)-4], func(b *testing.B) {
			s.hits(b, hits{
				row: "Zipf 0.99", what: fmt.Sprintf("%s, %d objects", size.what, size.objects), chunk: 64 << 10, least: 1.08,
				trace: accesses.Zipf(size.objects, times*size.objects, 0.99, size.size),
			})
		})
	}
	b.Run("twitter", func(b *testing.B) {
		trace, err := accesses.Twitter()
		if err != nil {
			b.Fatal(err)
		}
		if s.report.Short {
			trace = trace[:60_000]
		}
		for i := range trace {
			trace[i].Size *= 16 // a median of 0.9 KiB instead of 54 bytes
		}
		s.hits(b, hits{row: "a trace of Twitter's", what: fmt.Sprintf("%d requests, sizes times 16", len(trace)), chunk: 128 << 10, least: 1.02, trace: trace})
	})
}

// hits is one comparison.
type hits struct {
	row, what string
	trace     []accesses.Access
	chunk     int64   // no object is larger
	least     float64 // of the hits of one LRU
}

func (s *bench) hits(b *testing.B, h hits) {
	const nodes = 5
	objects, data := accesses.Data(h.trace)
	memory := data / 10 / nodes
	c := testcluster.New(b, testcluster.Options{Nodes: nodes, Flags: []string{
		"--memory", fmt.Sprint(memory), "--chunk-size", fmt.Sprint(h.chunk), "--revalidate", "1h", "--log-level", "warn",
	}})
	sizes := make(map[int]int64, objects)
	var all []int
	for _, a := range h.trace {
		if _, there := sizes[a.Object]; !there {
			sizes[a.Object] = a.Size
			all = append(all, a.Object)
		}
	}
	direct := sdk(c.S3Addr())
	content := body(h.chunk)
	parallel(b, 16, len(all), func(i int) error {
		size := sizes[all[i]]
		_, err := direct.PutObject(b.Context(), putInput(name(size, all[i]), content[:size]))
		return err
	})
	read := func(from, to int) {
		parallel(b, 16, to-from, func(i int) error {
			a := h.trace[from+i]
			req, err := http.NewRequest(http.MethodGet, c.Nodes[i%nodes].URL()+path(a.Size, a.Object), nil)
			if err != nil {
				return err
			}
			return ask(req, http.StatusOK)
		})
	}
	warm := len(h.trace) / 2
	read(0, warm)
	before := c.S3Requests("get", "get_range", "head")
	read(warm, len(h.trace))
	ours := 1 - float64(c.S3Requests("get", "get_range", "head")-before)/float64(len(h.trace)-warm)
	single := accesses.LRU(h.trace, warm, nodes*memory, int64(len(name(data/int64(objects), objects))))
	s.add(report.Compared("Hit ratio, "+h.row+", memory of 10 % of the data over 5 nodes",
		h.what, "one LRU", "of reads", []float64{ours}, []float64{single}).Judged(atLeast(h.least)))
}
