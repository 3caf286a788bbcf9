package bench

import (
	"fmt"
	"net/http"
	"testing"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// coldRow is a GET of what is in S3 and in no memory, beside the SDK's
// GetObject of an object like it: with S3 on this machine, and over connections
// as slow as to a real one.
func coldRow(b *testing.B, s *bench) {
	sizes := []coldSize{{"1 KiB", 1 << 10, 100}, {"1 MiB", 1 << 20, 20}}
	b.Run("near", func(b *testing.B) { s.cold(b, sizes, func(direct string) string { return direct }) })
	for i := range sizes {
		sizes[i].what += ", S3 20 ms away"
		sizes[i].each = 10
	}
	b.Run("far", func(b *testing.B) { s.cold(b, sizes, func(direct string) string { return link(b, direct) }) })
}

type coldSize struct {
	what string
	size int64
	each int // requests in a round
}

func (s *bench) cold(b *testing.B, sizes []coldSize, via func(direct string) string) {
	const row = "GET cold from S3, time to the last byte"
	var addr string
	c := testcluster.New(b, testcluster.Options{Nodes: 3, S3Via: func(direct string) string {
		addr = via(direct)
		return addr
	}})
	near, direct := sdk(c.S3Addr()), sdk(addr)
	n := 0
	for _, size := range sizes {
		content := body(size.size)
		// next puts a new object, which only S3 knows then.
		next := func() string {
			n++
			sdkPut(b, near, fmt.Sprint("cold/", n), content)
			return fmt.Sprint("cold/", n)
		}
		get := func(owner bool) float64 {
			o := next()
			node := ownerOf(c, o)
			if !owner {
				node = otherThan(c, node)
			}
			return milliseconds(get(b, node.HTTPAddr, "/v1/objects/"+o, size.size))
		}
		m := batches(s.rounds, size.each,
			func() float64 { return get(true) },
			func() float64 { return get(false) },
			func() float64 { return milliseconds(sdkGet(b, direct, place(next()), size.size)) })
		s.add(
			report.Compared(row, size.what+", through its owner", "SDK GetObject", "ms", m[0], m[2]).Judged(atMost(1.15)),
			report.Compared(row, size.what+", through another node", "SDK GetObject", "ms", m[1], m[2]).Judged(atMost(1.15)),
		)
	}
}

func otherThan(c *testcluster.Cluster, n *testcluster.Node) *testcluster.Node {
	for _, other := range c.Nodes {
		if other != n {
			return other
		}
	}
	return nil
}

// herdRow is a thousand callers who ask for one cold key at once.
func herdRow(b *testing.B, s *bench) {
	const callers, nodes = 1000, 5
	c := testcluster.New(b, testcluster.Options{Nodes: nodes})
	direct := sdk(c.S3Addr())
	var requests []float64
	for i := range s.rounds {
		name := fmt.Sprint("herd/", i)
		sdkPut(b, direct, name, body(64<<10))
		before := c.S3Requests("get", "get_range", "head")
		parallel(b, callers, callers, func(i int) error {
			req, err := http.NewRequest(http.MethodGet, c.Nodes[i%nodes].URL()+"/v1/objects/"+name, nil)
			if err != nil {
				return err
			}
			return ask(req, http.StatusOK)
		})
		requests = append(requests, float64(c.S3Requests("get", "get_range", "head")-before))
	}
	s.add(report.Measured("1,000 callers on 5 nodes for one cold key", "64 KiB", "S3 requests", requests...).
		Judged(report.Target{Is: report.Exactly, Value: 1}))
}
