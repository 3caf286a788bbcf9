package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

const (
	idleLasts = 20 * time.Second // how long nodes are left alone
	grownPuts = 300              // of a round
	grownGets = 3000
)

// grownCluster is a cluster of some size, whose costs are compared with those of another.
type grownCluster struct {
	*testcluster.Cluster
	*meter
	of  costs
	all float64 // nodes
	put int     // objects
}

// nodesScale is what nodes cost when nobody asks, and what requests cost all nodes together,
// as the nodes become more.
func nodesScale(b *testing.B, s *bench) {
	sizes := []int{3, 12, 30}
	if s.report.Short {
		sizes = []int{3, 6}
	}
	var clusters []*grownCluster
	var cases []costs
	for _, n := range sizes {
		g := startGrown(b, n)
		clusters, cases = append(clusters, g), append(cases, g.of)
	}
	for _, g := range clusters {
		g.alone(b)
	}
	for _, g := range clusters {
		g.store() // connections and buffers are there then
	}
	for range s.rounds {
		for _, work := range []func(*grownCluster){(*grownCluster).puts, (*grownCluster).own, (*grownCluster).other, (*grownCluster).batch, (*grownCluster).reports} {
			for _, g := range clusters {
				work(g)
			}
		}
	}
	for _, g := range clusters {
		g.restart(b)
	}
	const row = "Nodes"
	s.grown(row, cases, []unit{
		{startTime, "ms of wall"}, {startCost, "ms of processor"},
		{idleCost, "ms of processor a minute"}, {idleBytes, "KB a minute"}, {idleS3, "a minute"},
		{memoryEach, "MiB"}, {heapEach, "MiB"},
		{ownGet, "µs"}, {turnGet, "µs"}, {otherGet, "µs"}, {batchGet, "µs"}, {putCost, "µs"}, {putBytes, "KB"}, {putS3, "requests"}, {reportCost, "ms"}, {reportS3, "requests"},
		{backTime, "ms of wall"}, {backCost, "ms of processor"}, {backHeads, "requests"},
	})
	for _, g := range clusters {
		s.add(report.Measured(row, fmt.Sprintf("S3's processor for a PUT, nodes: %.0f", g.all), "µs", g.of.of[s3Put]...),
			report.Measured(row, fmt.Sprintf("a PUT, one of 8 at once, nodes: %.0f", g.all), "ms of wall", g.of.of[putWall]...))
	}
}

// asked is an object and whom it is asked for.
type asked struct{ addr, name string }

// The costs.
const (
	startTime  = "start, until all are members, for each node"
	startCost  = "start, until all are members, of each node"
	idleCost   = "when nobody asks, of each node"
	idleBytes  = "written when nobody asks, without UDP, by each node"
	idleS3     = "requests to S3 when nobody asks, of each node"
	memoryEach = "memory of each node after the start"
	heapEach   = "live heap of each node after the start"
	ownGet     = "GET of 1 KiB at its owner, one node asked alone"
	turnGet    = "the same, all nodes asked in turn"
	otherGet   = "GET of 1 KiB through another node, all nodes together"
	batchGet   = "the same, 300 of them in a batch, for each"
	putCost    = "PUT of 1 KiB at any node, all nodes together"
	putBytes   = "the same, written by all nodes"
	putS3      = "the same, requests to S3"
	reportCost = "GET /v1/usage, all nodes together"
	reportS3   = "GET /v1/usage, requests to S3"
	backTime   = "restart of one node, until all are members"
	backCost   = "the same, of all nodes"
	backHeads  = "requests to S3 for each key after it"
	s3Put      = "S3's processor for a PUT"
	putWall    = "wall of a PUT"
)

func startGrown(b *testing.B, n int) *grownCluster {
	b.Helper()
	began := time.Now()
	c := testcluster.New(b, testcluster.Options{Nodes: n, Flags: []string{"--memory", "64MiB", "--revalidate", "1h"}})
	g := &grownCluster{Cluster: c, meter: meterOf(b, c), of: costsIn("%d nodes", n), all: float64(n)}
	g.of.note(startTime, milliseconds(time.Since(began))/g.all)
	g.of.note(startCost, 1e3*used(b, g.nodes, usedByAll)/g.all)
	g.of.note(memoryEach, used(b, g.nodes, residentNow)/g.all/(1<<20))
	heap := 0.0
	for _, node := range c.Nodes {
		heap += liveHeap(b, node)
	}
	g.of.note(heapEach, heap/g.all/(1<<20))
	return g
}

// alone is what the nodes do when nobody asks.
func (g *grownCluster) alone(b *testing.B) {
	b.Helper()
	requests := g.allOfS3()
	before := used(b, g.nodes, written)
	g.rest(idleLasts)
	minute := time.Minute.Seconds() / idleLasts.Seconds() / g.all
	g.of.note(idleCost, 1e3*g.idle*time.Minute.Seconds()/g.all)
	g.of.note(idleBytes, (used(b, g.nodes, written)-before)*minute/1e3)
	g.of.note(idleS3, (g.allOfS3()-requests)*minute)
}

// allOfS3 is how many requests the nodes have sent to S3, whatever for.
func (g *grownCluster) allOfS3() (sum float64) {
	g.b.Helper()
	for _, n := range g.Nodes {
		sum += metric(g.b, n, "larder_s3_requests_total", nil)
	}
	return sum
}

// store puts objects that nobody had, each at the next node.
func (g *grownCluster) store() {
	g.b.Helper()
	parallel(g.b, 8, grownPuts, func(i int) error {
		i += g.put
		return put(g.b, g.Nodes[i%len(g.Nodes)].HTTPAddr, "/v1/objects/"+laid("grown-", i), body(1<<10))
	})
	g.put += grownPuts
}

// puts is what that costs.
func (g *grownCluster) puts() {
	g.b.Helper()
	before, requests := used(g.b, g.nodes, written), g.S3Requests("put")
	nodes, s3, wall := g.spent(g.store)
	cost := 1e6 * nodes / grownPuts
	g.of.note(putCost, cost)
	g.of.note(putBytes, (used(g.b, g.nodes, written)-before)/grownPuts/1e3)
	g.of.note(putS3, float64(g.S3Requests("put")-requests)/grownPuts)
	g.of.note(s3Put, 1e6*s3/grownPuts)
	g.of.note(putWall, 1e3*wall*8/grownPuts)
}

// own asks owners, again and again, for what was put last: first one of them, then all.
func (g *grownCluster) own() {
	g.b.Helper()
	var one, all []asked
	for i := range grownPuts {
		name := laid("grown-", g.put-1-i)
		owner := ownerOf(g.Cluster, name)
		all = append(all, asked{owner.HTTPAddr, name})
		if owner == g.Nodes[0] {
			one = append(one, all[i])
		}
	}
	for what, asks := range map[string][]asked{ownGet: one, turnGet: all} {
		nodes, _, _ := g.spent(func() {
			getAll(g.b, grownGets, func(i int) (addr, name string) {
				at := asks[i%len(asks)]
				return at.addr, at.name
			})
		})
		g.of.note(what, 1e6*nodes/grownGets)
	}
}

// other asks others than the owners for the same, once, so that no hot copy answers.
func (g *grownCluster) other() {
	g.b.Helper()
	last := g.put - grownPuts
	nodes, _, _ := g.spent(func() {
		getAll(g.b, grownPuts, func(i int) (addr, name string) {
			name = laid("grown-", last+i)
			n := g.Nodes[i%len(g.Nodes)]
			if n == ownerOf(g.Cluster, name) {
				n = g.Nodes[(i+1)%len(g.Nodes)]
			}
			return n.HTTPAddr, name
		})
	})
	g.of.note(otherGet, 1e6*nodes/grownPuts)
}

// batch asks for what nobody but its owner has asked for lately, all at once.
func (g *grownCluster) batch() {
	g.b.Helper()
	var want struct {
		Get []string `json:"get"`
	}
	for i := range grownPuts {
		want.Get = append(want.Get, laid("grown-", g.put-2*grownPuts+i))
	}
	text, err := json.Marshal(want)
	if err != nil {
		g.b.Fatal(err)
	}
	nodes, _, _ := g.spent(func() {
		req, err := http.NewRequestWithContext(g.b.Context(), http.MethodPost, g.Nodes[0].URL()+"/v1/batch/objects", bytes.NewReader(text))
		if err != nil {
			g.b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if err := ask(req, http.StatusOK); err != nil {
			g.b.Fatal(err)
		}
	})
	g.of.note(batchGet, 1e6*nodes/grownPuts)
}

// reports asks what the org has and saved, which all nodes have a part of.
func (g *grownCluster) reports() {
	g.b.Helper()
	const times = 5
	requests := g.allOfS3()
	nodes, _, _ := g.spent(func() {
		for range times {
			text(g.b, g.Nodes[0].HTTPAddr, "/v1/usage")
		}
	})
	g.of.note(reportCost, 1e3*nodes/times)
	g.of.note(reportS3, (g.allOfS3()-requests)/times)
}

// restart is what it costs that one node starts again: until all see each other, and then at S3
// for each key that is read.
func (g *grownCluster) restart(b *testing.B) {
	b.Helper()
	g.Nodes[0].Stop()
	g.WaitMembers(len(g.Nodes) - 1)
	others := processes(g.Nodes[1:])
	before, began := used(b, others, usedByAll), time.Now()
	g.Nodes[0].Start()
	g.WaitMembers(len(g.Nodes))
	took := time.Since(began)
	cost := used(b, others, usedByAll) - before + usedByAll(b, g.Nodes[0].Pid()) - g.idle*took.Seconds()
	g.of.note(backTime, milliseconds(took))
	g.of.note(backCost, 1e3*math.Max(cost, 0))
	asked := g.S3Requests("get", "get_range", "head")
	getAll(b, grownPuts, func(i int) (addr, name string) {
		return g.Nodes[i%len(g.Nodes)].HTTPAddr, laid("grown-", g.put-grownPuts+i)
	})
	g.of.note(backHeads, float64(g.S3Requests("get", "get_range", "head")-asked)/grownPuts)
}
