package chaos

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

var audits = flag.Int("audits", 2_000, "how many reads TestAudits has compared with S3")

const (
	auditKeys    = 200
	auditReaders = 8
	auditWriters = 3
)

// TestAudits has reads under live heads compared with S3's own answer, as many as can be,
// not one in ten thousand, while keys are written and removed, and nodes are killed, stopped
// and held up for a moment. The members agree who is there, so none may differ.
func TestAudits(t *testing.T) {
	t.Parallel()
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1_000_000)
	}
	c := testcluster.New(t, testcluster.Options{Env: []string{"LARDER_AUDIT_EVERY=1"}})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: auditReaders + auditWriters}}
	t.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range auditReaders + auditWriters {
		rng := rand.New(rand.NewPCG(first, uint64(i)))
		callers.Go(func() {
			for ctx.Err() == nil {
				auditCall(ctx, client, c.Nodes[rng.IntN(len(c.Nodes))].URL(), rng, i < auditWriters)
			}
		})
	}
	rng := rand.New(rand.NewPCG(first, 'f'))
	ended := map[string]float64{} // verdicts of nodes that have ended
	faults := 0
	for sum := ended; sum["same"] < float64(*audits) || faults < 3; faults++ {
		<-time.After(between(rng, time.Second, 3*time.Second)) // of load
		n := c.Nodes[rng.IntN(len(c.Nodes))]
		switch rng.IntN(3) {
		case 0:
			addVerdicts(t, ended, n)
			n.Kill()
			n.Start()
		case 1:
			addVerdicts(t, ended, n)
			n.Stop()
			n.Start()
		default:
			n.Pause()
			<-time.After(between(rng, 50*time.Millisecond, 600*time.Millisecond)) // of standing still
			n.Resume()
		}
		c.WaitMembers(len(c.Nodes))
		sum = map[string]float64{}
		for verdict, n := range ended {
			sum[verdict] = n
		}
		for _, n := range c.Nodes {
			addVerdicts(t, sum, n)
		}
		t.Logf("SEED=%d faults=%d: %v", first, faults+1, sum)
		if sum["differs"] > 0 {
			t.Errorf("SEED=%d: live heads were not what S3 held", first)
			break
		}
	}
	cancel()
	callers.Wait()
}

// auditCall reads a key, or writes or removes it. What comes of it is not looked at: the
// nodes compare for themselves.
func auditCall(ctx context.Context, client *http.Client, node string, rng *rand.Rand, writes bool) {
	method, body := http.MethodGet, ""
	if writes {
		sleep(ctx, between(rng, time.Millisecond, 40*time.Millisecond)) // most of what is read is not being written
		if method = http.MethodDelete; rng.IntN(4) > 0 {
			method, body = http.MethodPut, strings.Repeat(fmt.Sprint(rng.Uint64()), 1+rng.IntN(50))
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, node+objectPath(fmt.Sprint("audited/", rng.IntN(auditKeys))), strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		sleep(ctx, 20*time.Millisecond) // the node is away
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // as above
}

// addVerdicts adds what a node has found so far.
func addVerdicts(t *testing.T, sum map[string]float64, n *testcluster.Node) {
	t.Helper()
	for _, verdict := range []string{"same", "changed", "differs", "error"} {
		v, err := n.Metric("larder_audit_total", func(labels map[string]string) bool { return labels["result"] == verdict })
		if err != nil {
			t.Fatal(err)
		}
		sum[verdict] += v
	}
}
