package bench

import (
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// memoryRow is a GET from the memory of the node that owns the key: one node,
// which owns everything.
func memoryRow(b *testing.B, s *bench) {
	const row = "GET from the owner's memory"
	node := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "512MiB"}}).Nodes[0].HTTPAddr
	bare, dressed, fast := s.rival(b, "bare"), s.rival(b, "dressed"), s.rival(b, "fasthttp")
	cache, _ := nginx(b, bare)
	addrs := []string{node, cache, varnish(b, bare), bare, dressed, fast}
	for _, c := range []struct {
		what        string
		size        int64
		conns       int
		nginx, bare float64 // targets
	}{
		{"1 KiB", 1 << 10, 64, 1.15, 0.85},
		{"64 KiB", 64 << 10, 64, 1.0, 0.85},
		{"1 MiB", 1 << 20, 64, 1.3, 0.9},
		{"16 MiB", 16 << 20, 8, 1.2, 0.9},
	} {
		store(b, node, path(c.size, 0), body(c.size))
		d := demand{size: c.size, paths: []string{path(c.size, 0)}, conns: c.conns}
		var sides []func() float64
		for _, addr := range addrs {
			same(b, addr, path(c.size, 0), body(c.size))
			s.loadFor(b, addr, d, 500*time.Millisecond) // all caches and buffers are as they will be
			sides = append(sides, func() float64 { return s.load(b, addr, d) })
		}
		m := turns(s.rounds, sides...)
		s.add(
			report.Compared(row, c.what, "nginx proxy_cache", "req/s", m[0], m[1]).Judged(atLeast(c.nginx)),
			report.Compared(row, c.what, "Varnish", "req/s", m[0], m[2]),
			report.Compared(row, c.what, "bare net/http", "req/s", m[0], m[3]).Judged(atLeast(c.bare)),
			report.Compared(row, c.what, "net/http with the same header fields", "req/s", m[0], m[4]),
			report.Compared(row, c.what, "bare fasthttp", "req/s", m[0], m[5]),
		)
	}
}
