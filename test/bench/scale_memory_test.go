package bench

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"larder/test/testcluster"
)

// fullMemory is a node that has many objects in memory.
type fullMemory struct {
	*testcluster.Cluster
	*meter
	of    costs
	paths []string
}

// The costs.
const (
	besideEach  = "memory beside each object, by the live heap"
	collectEach = "a collection, for each object"
	manyGet     = "GET of each in its turn"
	collections = "collections in 100,000 of these GETs"
	coldEach    = "GET of each from S3, once"
)

// memoryScale is what objects cost in memory, and what reads of them do, as they become more.
func memoryScale(b *testing.B, s *bench) {
	numbers := []int{20_000, 200_000}
	if s.report.Short {
		numbers = []int{5_000, 20_000}
	}
	var all []*fullMemory
	var cases []costs
	for _, n := range numbers {
		m := fillMemory(b, n)
		all, cases = append(all, m), append(cases, m.of)
	}
	var sides []func() float64
	for _, m := range all {
		sides = append(sides, func() float64 { return m.gets(b, s) })
	}
	turns(s.rounds, sides...)
	s.grown("Objects in memory", cases, []unit{
		{besideEach, "bytes"}, {collectEach, "ns"}, {manyGet, "µs"}, {collections, "times"}, {coldEach, "µs"},
	})
}

// fillMemory starts a node and has it read objects into its memory.
func fillMemory(b *testing.B, n int) *fullMemory {
	b.Helper()
	const size = 1 << 10
	c := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "2GiB", "--revalidate", "1h"}})
	m := &fullMemory{Cluster: c, meter: meterOf(b, c), of: costsIn("%s objects of 1 KiB", humanize.Comma(int64(n)))}
	node := c.Nodes[0]
	lay(b, c, "full-", n, size)
	counted(b, node)
	for i := range n {
		m.paths = append(m.paths, "/v1/objects/"+laid("full-", i))
	}
	read := func(from, to int) {
		getAll(b, to-from, func(i int) (addr, name string) { return node.HTTPAddr, laid("full-", from+i) })
	}
	const first = 500 // connections and buffers are there then
	read(0, first)
	liveHeap(b, node) // lets go of what pools hold
	before := liveHeap(b, node)
	nodes, _, _ := m.spent(func() { read(first, n) })
	m.of.note(coldEach, 1e6*nodes/float64(n-first))
	liveHeap(b, node)
	m.of.note(besideEach, (liveHeap(b, node)-before)/float64(n-first)-size)
	if chunks := metric(b, node, "larder_memory_chunks", nil); int(chunks) != n {
		b.Fatalf("%.0f of %d objects are in memory", chunks, n)
	}
	return m
}

// gets asks for all objects in turn, for a while.
func (m *fullMemory) gets(b *testing.B, s *bench) float64 {
	b.Helper()
	node := m.Nodes[0]
	d := demand{size: 1 << 10, paths: m.paths, conns: 16}
	collected, asked := collectionsOf(b, node), metric(b, node, "larder_http_requests_total", nil)
	nodes, _, _ := m.spent(func() { s.loadWith(b, node.HTTPAddr, "http", d, 3*s.lasts) })
	asked = metric(b, node, "larder_http_requests_total", nil) - asked
	m.of.note(manyGet, 1e6*nodes/asked)
	m.of.note(collections, 1e5*(collectionsOf(b, node)-collected)/asked)
	nodes, _, _ = m.spent(func() { liveHeap(b, node) })
	m.of.note(collectEach, 1e9*nodes/float64(len(m.paths)))
	return nodes
}

// collectionsOf is how often a node has collected garbage.
func collectionsOf(b *testing.B, n *testcluster.Node) (times float64) {
	b.Helper()
	_, rest, _ := strings.Cut(text(b, n.AdminAddr, "/metrics"), "go_gc_duration_seconds_count ")
	if _, err := fmt.Sscan(rest, &times); err != nil {
		b.Fatalf("collections of %s: %v", n.Name, err)
	}
	return times
}
