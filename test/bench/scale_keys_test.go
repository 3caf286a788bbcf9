package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// manyKeys is a node whose store has many objects.
type manyKeys struct {
	*testcluster.Cluster
	*meter
	of   costs
	keys int
}

// The costs.
const (
	s3Index    = "S3's processor for the first listing, for each key"
	s3Memory   = "S3's memory for each key"
	walkCost   = "the daily count of what an org has, for each key"
	listFour   = "listing of 4 keys by their prefix"
	listPage   = "a page of 1,000 keys, for each"
	listAll    = "a listing of all keys, for each"
	listWall   = "a listing of all keys, wall"
	listAllS3  = "S3's processor for that, for each"
	dryRun     = "DELETE ?prefix= of all keys, dry_run=true, for each"
	usageAsked = "GET /v1/usage"
	keysStart  = "restart of the node until it is ready"
	keysMemory = "memory of the node afterwards"
)

// keysScale is what listings cost a node, and what it does by itself, as the keys in the store
// become more.
func keysScale(b *testing.B, s *bench) {
	numbers := []int{10_000, 100_000, 1_000_000}
	if s.report.Short {
		numbers = numbers[:2]
	}
	var all []*manyKeys
	var cases []costs
	var small []func() float64
	for _, n := range numbers {
		m := layKeys(b, n)
		all, cases = append(all, m), append(cases, m.of)
		small = append(small, m.small)
	}
	turns(s.rounds, small...)
	for _, m := range all {
		m.whole(b)
		m.restart(b, s.rounds)
	}
	s.grown("Keys in the store", cases, []unit{
		{listFour, "µs"}, {listPage, "µs"}, {listAll, "µs"}, {dryRun, "µs"}, {walkCost, "µs"}, {usageAsked, "µs"},
		{keysStart, "ms of wall"}, {keysMemory, "MiB"}, {listAllS3, "µs"}, {s3Index, "µs"}, {s3Memory, "bytes"},
	})
	for _, m := range all {
		s.add(report.Measured("Keys in the store", fmt.Sprintf("a listing of all keys, keys: %s", humanize.Comma(int64(m.keys))), "s of wall", m.of.of[listWall]...))
	}
}

// layKeys starts a node with many objects in its store, and waits until it has counted them.
func layKeys(b *testing.B, n int) *manyKeys {
	b.Helper()
	c := testcluster.New(b, testcluster.Options{Nodes: 1})
	m := &manyKeys{Cluster: c, meter: meterOf(b, c), of: costsIn("%s keys", humanize.Comma(int64(n))), keys: n}
	for i := range 4 {
		store(b, c.Nodes[0].HTTPAddr, fmt.Sprint("/v1/objects/AAPL-", i), body(10))
	}
	lay(b, c, "STRATEGY-", n-4, 1<<10)
	c.Nodes[0].Kill() // so that it counts anew what the org has, once it is asked for that
	memory, cost := residentNow(b, c.S3.Pid()), usedByAll(b, c.S3.Pid())
	direct := sdk(c.S3Addr())
	listSDK(b, direct, "AAPL-", 4) // fills its index
	m.of.note(s3Index, 1e6*(usedByAll(b, c.S3.Pid())-cost)/float64(n))
	m.of.note(s3Memory, (residentNow(b, c.S3.Pid())-memory)/float64(n))
	c.Nodes[0].Start()
	m.count(b)
	return m
}

// count has a node that starts anew count what the org has, by a listing of all of it.
func (m *manyKeys) count(b *testing.B) {
	b.Helper()
	node := m.Nodes[0]
	nodes, _, _ := m.spent(func() {
		m.usage(b)
		counted(b, node)
	})
	m.of.note(walkCost, 1e6*nodes/float64(m.keys))
	m.rest(2 * time.Second)
}

// counted waits until a node has compared what its org has with the bucket.
func counted(b *testing.B, n *testcluster.Node) {
	b.Helper()
	for metric(b, n, "larder_usage_walks_total", nil) == 0 {
		select {
		case <-b.Context().Done():
			b.Fatal("what the org has was never counted")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (m *manyKeys) usage(b *testing.B) {
	b.Helper()
	text(b, m.Nodes[0].HTTPAddr, "/v1/usage")
}

// small are the requests that should not depend on how many keys there are.
func (m *manyKeys) small() float64 {
	m.b.Helper()
	const times = 20
	nodes, _, _ := m.spent(func() {
		for range times {
			listNode(m.b, m.Nodes[0], "AAPL-", 4)
		}
	})
	m.of.note(listFour, 1e6*nodes/times)
	nodes, _, _ = m.spent(func() {
		for range times {
			listNode(m.b, m.Nodes[0], "STRATEGY-", 1000)
		}
	})
	m.of.note(listPage, 1e6*nodes/times/1000)
	nodes, _, _ = m.spent(func() {
		for range times {
			m.usage(m.b)
		}
	})
	m.of.note(usageAsked, 1e6*nodes/times)
	return nodes
}

// whole are the requests that look at each key.
func (m *manyKeys) whole(b *testing.B) {
	b.Helper()
	nodes, s3, wall := m.spent(func() {
		resp := m.send(b, http.MethodGet, "", "application/x-ndjson")
		defer resp.Body.Close()
		lines := 0
		for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
			lines++
		}
		if lines != m.keys-4 {
			b.Fatalf("a listing of %d keys has %d", m.keys-4, lines)
		}
	})
	m.of.note(listAll, 1e6*nodes/float64(m.keys))
	m.of.note(listAllS3, 1e6*s3/float64(m.keys))
	m.of.note(listWall, wall)
	nodes, _, _ = m.spent(func() {
		resp := m.send(b, http.MethodDelete, "&dry_run=true", "application/json")
		defer resp.Body.Close()
		var sum struct{ Deleted int }
		if err := json.NewDecoder(resp.Body).Decode(&sum); err != nil || sum.Deleted != m.keys-4 {
			b.Fatalf("%d of %d keys would be removed, %v", sum.Deleted, m.keys-4, err)
		}
	})
	m.of.note(dryRun, 1e6*nodes/float64(m.keys))
}

// send asks for something of all the keys.
func (m *manyKeys) send(b *testing.B, method, more, accept string) *http.Response {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, m.Nodes[0].URL()+"/v1/objects?prefix=STRATEGY-"+more, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		detail, _ := io.ReadAll(resp.Body) // it is only shown
		b.Fatalf("%s: %s %s", method, resp.Status, detail)
	}
	return resp
}

func (m *manyKeys) restart(b *testing.B, rounds int) {
	b.Helper()
	m.of.note(keysMemory, residentNow(b, m.Nodes[0].Pid())/(1<<20))
	for range rounds {
		m.Nodes[0].Stop()
		began := time.Now()
		m.Nodes[0].Start()
		m.of.note(keysStart, milliseconds(time.Since(began)))
	}
}
