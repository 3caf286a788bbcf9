package bench

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"larder/keys"
	"larder/test/bench/report"
	"larder/test/testcluster"
)

// hop is one size of the row. Hot copies would hide what is measured. So the
// asker's memory is full of what it owns itself, like that of a node that has run
// for a while, which leaves a 32nd for hot copies (a ninth in groupcache), and the
// objects are so many that none is asked for again before its copy is evicted. All
// of that is so on both sides.
type hop struct {
	what        string
	size        int64
	keys, conns int
	chunk       int64   // --chunk-size of both nodes
	memory      int64   // of the asker
	ratio       float64 // target against groupcache
}

// peerRow is a GET that the memory of another node answers.
func peerRow(b *testing.B, s *bench) {
	for _, h := range []hop{
		// Few keys, for each needs a lease on its head, and so a small memory.
		{"1 KiB", 1 << 10, 384, 64, 64 << 10, 256 << 10, 1.5},
		{"64 KiB", 64 << 10, 1024, 64, 8 << 20, 32 << 20, 1.9},
		{"1 MiB", 1 << 20, 256, 64, 8 << 20, 32 << 20, 1.5},
		{"8 MiB", 8 << 20, 16, 8, 8 << 20, 32 << 20, 2.0},
	} {
		b.Run(strings.ReplaceAll(h.what, " ", ""), func(b *testing.B) { s.hop(b, h) })
	}
}

func (s *bench) hop(b *testing.B, h hop) {
	asker, owner, paths := larderPair(b, h)
	rival, theirs := s.groupcachePair(b, h, 0)
	tuned, tunedPaths := s.groupcachePair(b, h, 256)
	relay := s.rival(b, "relay", "-peer", s.rival(b, "tcp"))
	var asking, serving, hot []float64
	ours := s.side(b, h, asker.HTTPAddr, paths)
	m := turns(s.rounds, func() float64 {
		before, far := costOf(b, asker), costOf(b, owner)
		rate := ours()
		after := costOf(b, asker)
		requests := after.gets - before.gets
		asking = append(asking, (after.allocated-before.allocated)/requests)
		serving = append(serving, (costOf(b, owner).allocated-far.allocated)/requests)
		hot = append(hot, 100*(after.hits-before.hits)/requests)
		return rate
	}, s.side(b, h, rival, theirs), s.side(b, h, relay, paths), s.side(b, h, tuned, tunedPaths))

	const row = "GET through a node that does not own the key"
	note := fmt.Sprintf("hot copies answer %.1f %%, there %.1f %%", report.Median(hot), rivalHits(b, rival))
	lines := []report.Line{
		report.Compared(row, h.what, "groupcache's HTTPPool", "req/s", m[0], m[1]).Judged(atLeast(h.ratio)).Noted(note),
		report.Compared(row, h.what, "HTTPPool with 256 idle connections", "req/s", m[0], m[3]),
		report.Compared(row, h.what, "bare TCP loop", "req/s", m[0], m[2]),
		report.Measured(row, h.what+", allocated by the asker", "bytes/request", asking...),
		report.Measured(row, h.what+", allocated by the owner", "bytes/request", serving...),
	}
	if h.size >= 64<<10 { // below, what a request costs in itself is more than the value
		lines[2] = lines[2].Judged(atLeast(0.85))
		lines[3] = lines[3].Judged(atMost(1.1 * float64(h.size)))
		lines[4] = lines[4].Judged(atMost(0.1 * float64(h.size)))
	}
	s.add(lines...)
}

// gogc gives the rival's collector, beside a small memory, the room that a
// node's ballast gives its own: it would run all the time otherwise.
func (h hop) gogc() int {
	if h.memory < 1<<20 {
		return 1000
	}
	return 100
}

// side checks and warms up one side of the comparison.
func (s *bench) side(b *testing.B, h hop, addr string, paths []string) func() float64 {
	b.Helper()
	for _, p := range paths {
		same(b, addr, p, body(h.size))
	}
	d := demand{size: h.size, paths: paths, conns: h.conns}
	s.loadFor(b, addr, d, 500*time.Millisecond)
	return func() float64 { return s.load(b, addr, d) }
}

// divide names h.keys objects that the other one owns, and objects that the
// asker owns, more than its memory holds: larger ones, so that they are few.
func (h hop) divide(owned func(name string) bool) (fill, paths []string) {
	for i := 0; len(paths) < h.keys; i++ {
		if !owned(name(h.size, i)) {
			paths = append(paths, path(h.size, i))
		}
	}
	for i := 0; int64(len(fill))*h.fill() < h.memory+h.memory/4; i++ {
		if owned(name(h.fill(), i)) {
			fill = append(fill, path(h.fill(), i))
		}
	}
	return fill, paths
}

func (h hop) fill() int64 { return max(h.size, h.memory/64) }

// larderPair starts two nodes: one that is asked, whose memory is full, and one
// that owns all objects in paths.
func larderPair(b *testing.B, h hop) (asker, owner *testcluster.Node, paths []string) {
	b.Helper()
	c := testcluster.New(b, testcluster.Options{
		Nodes: 1, Flags: []string{"--memory", "512MiB", "--chunk-size", fmt.Sprint(h.chunk)},
	})
	owner, asker = c.Nodes[0], c.AddNode("--memory", fmt.Sprint(h.memory))
	c.WaitMembers(2)
	fill, paths := h.divide(func(name string) bool { return ownerOf(c, name) == asker })
	for _, p := range fill {
		store(b, owner.HTTPAddr, p, body(h.fill()))
	}
	for _, p := range paths {
		store(b, owner.HTTPAddr, p, body(h.size))
	}
	return asker, owner, paths
}

// ownerOf is the node that owns an object.
func ownerOf(c *testcluster.Cluster, name string) *testcluster.Node {
	var members []uint64
	for _, n := range c.Nodes {
		members = append(members, keys.HashMember(n.Name))
	}
	return c.Nodes[keys.Heaviest(members, object(name).Hash())]
}

// groupcachePair starts two members that are as the nodes are, and keep so many
// idle connections to each other; 0 is as groupcache comes.
func (s *bench) groupcachePair(b *testing.B, h hop, idle int) (asker string, paths []string) {
	b.Helper()
	peers := []string{testcluster.FreeAddr(b), testcluster.FreeAddr(b)}
	for i, memory := range []int64{512 << 20, h.memory} {
		asker = s.rival(b, "groupcache", "-peer", peers[i], "-peers", strings.Join(peers, ","), "-cache", fmt.Sprint(memory),
			"-gogc", strconv.Itoa(h.gogc()), "-idle", strconv.Itoa(idle))
	}
	fill, paths := h.divide(func(name string) bool { return text(b, asker, "/owner?key=/v1/objects/"+name) == "true" })
	for _, p := range fill {
		same(b, asker, p, body(h.fill()))
	}
	return asker, paths
}

// rivalHits is how many of a hundred requests the asker answered by itself.
func rivalHits(b *testing.B, asker string) float64 {
	b.Helper()
	var gets, hits float64
	if _, err := fmt.Sscan(text(b, asker, "/stats"), &gets, &hits); err != nil {
		b.Fatal(err)
	}
	return 100 * hits / gets
}

// text is a short answer.
func text(b *testing.B, addr, path string) string {
	b.Helper()
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	t, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(t))
}

// cost is what a node has spent so far, and on what.
type cost struct {
	allocated  float64 // bytes
	gets, hits float64 // hits are those from its own memory
}

func costOf(b *testing.B, n *testcluster.Node) cost {
	b.Helper()
	return cost{
		allocated: metric(b, n, "go_memstats_alloc_bytes_total", nil),
		gets:      metric(b, n, "larder_http_requests_total", map[string]string{"op": "get"}),
		hits: metric(b, n, "larder_http_requests_total", map[string]string{"op": "get", "source": "memory"}) +
			metric(b, n, "larder_http_requests_total", map[string]string{"op": "get", "source": "hot"}),
	}
}

// metric is the sum of a node's counters or gauges of this name with these labels.
func metric(b *testing.B, n *testcluster.Node, name string, labels map[string]string) float64 {
	b.Helper()
	v, err := n.Metric(name, func(has map[string]string) bool {
		for label, value := range labels {
			if has[label] != value {
				return false
			}
		}
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
	return v
}
