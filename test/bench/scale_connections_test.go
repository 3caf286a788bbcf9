package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/dustin/go-humanize"

	"larder/test/testcluster"
)

// kept is a node that many connections are open to.
type kept struct {
	node *testcluster.Node
	*meter
	of costs
}

// The costs.
const (
	connMemory = "memory of each connection"
	connHeap   = "heap and stacks of each, collected"
	connsSpawn = "goroutines of each"
	crowdIdle  = "when nobody asks, of the node"
	crowdGet   = "GET of 1 KiB beside them"
	crowdWall  = "the same, one at a time"
)

// connectionsScale is what connections cost on which nothing is asked any more, and a GET beside
// them, as they become more.
func connectionsScale(b *testing.B, s *bench) {
	numbers := []int{50, 500, 5000}
	if s.report.Short {
		numbers = numbers[:2]
	}
	var cases []costs
	var sides []func() float64
	for _, n := range numbers {
		c := gather(b, n)
		cases = append(cases, c.of)
		sides = append(sides, func() float64 { return c.gets(b, s) })
	}
	turns(s.rounds, sides...)
	s.grown("Connections that are kept", cases, []unit{
		{connMemory, "bytes"}, {connHeap, "bytes"}, {connsSpawn, ""}, {crowdIdle, "ms of processor a minute"},
		{crowdGet, "µs"}, {crowdWall, "ms of wall"},
	})
}

// gather starts a node and opens connections to it, each of which has had one answer.
func gather(b *testing.B, n int) *kept {
	b.Helper()
	c := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "1GiB"}})
	w := &kept{node: c.Nodes[0], meter: meterOf(b, c), of: costsIn("%s connections", humanize.Comma(int64(n)))}
	store(b, w.node.HTTPAddr, path(1<<10, 0), body(1<<10))
	keep := func(n int) {
		for i := range n {
			keepOpen(b, net.IPv4(127, 0, 0, byte(2+i%2)), w.node.HTTPAddr, path(1<<10, 0))
		}
	}
	keep(10)
	inUse := func() (heap, goroutines float64) {
		heap = liveHeap(b, w.node)
		return heap + metric(b, w.node, "go_memstats_stack_inuse_bytes", nil), metric(b, w.node, "go_goroutines", nil)
	}
	heap, goroutines := inUse()
	memory := residentNow(b, w.node.Pid())
	keep(n)
	many := float64(n)
	w.of.note(connMemory, (residentNow(b, w.node.Pid())-memory)/many)
	moreHeap, moreGoroutines := inUse()
	w.of.note(connHeap, (moreHeap-heap)/many)
	w.of.note(connsSpawn, (moreGoroutines-goroutines)/many)
	w.rest(idleLasts / 2)
	w.of.note(crowdIdle, 1e3*60*w.idle)
	if open := metric(b, w.node, "larder_http_connections", nil); open < many {
		b.Fatalf("%.0f of %d connections are open", open, n)
	}
	return w
}

// keepOpen asks for something on a connection of its own, which ends with the benchmark. One
// address may have half of all connections: it says which it comes from.
func keepOpen(b *testing.B, from net.IP, addr, path string) {
	b.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	c, err := dialer.DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() }) // what was asked has been answered
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %v", resp.Status, err)
	}
}

// gets asks on other connections.
func (w *kept) gets(b *testing.B, s *bench) float64 {
	b.Helper()
	d := demand{size: 1 << 10, paths: []string{path(1<<10, 0)}, conns: 8}
	asked := metric(b, w.node, "larder_http_requests_total", nil)
	nodes, _, _ := w.spent(func() { s.loadWith(b, w.node.HTTPAddr, "http", d, s.lasts) })
	w.of.note(crowdGet, 1e6*nodes/(metric(b, w.node, "larder_http_requests_total", nil)-asked))
	const times = 500
	_, _, wall := w.spent(func() {
		for range times {
			get(b, w.node.HTTPAddr, path(1<<10, 0), 1<<10)
		}
	})
	w.of.note(crowdWall, 1e3*wall/times)
	return nodes
}
