package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// buildsRow is what waiting for another's build costs, and how soon it ends.
func buildsRow(b *testing.B, s *bench) {
	const row, waiters = "Builds", 200
	three := testcluster.New(b, testcluster.Options{}).Nodes
	var woken, read, taken []float64
	for i := range s.rounds {
		woken = append(woken, wake(b, three, fmt.Sprint("woken/", i), waiters))
		read = append(read, readAtOnce(b, three, fmt.Sprint("woken/", i), waiters))
		taken = append(taken, takeOver(b, three, fmt.Sprint("taken/", i)))
	}
	one := testcluster.New(b, testcluster.Options{Nodes: 1, Embedded: true}).Nodes[0]
	cpu, memory := waitingCost(b, one, waiters)
	var rates []float64
	for range s.rounds {
		rates = append(rates, grantRate(b, one, s.lasts))
	}
	n := 0
	miss := func(claim bool) func() float64 {
		return func() float64 {
			n++
			return missAndPut(b, one, fmt.Sprint("miss/", n), claim)
		}
	}
	m := batches(s.rounds, 40, miss(true), miss(false))
	more := make([]float64, s.rounds)
	for i := range more {
		more[i] = m[0][i] - m[1][i]
	}
	s.add(
		report.Measured(row, fmt.Sprint("from the builder's PUT to the last of ", waiters, " GETs, 1 MiB, nodes: 3"), "ms", woken...).Judged(atMost(250)),
		report.Measured(row, "the same GETs once more, without a wait", "ms", read...),
		report.Measured(row, "from kill -9 of the builder to the next grant", "ms", taken...).Judged(atMost(500)),
		report.Measured(row, fmt.Sprint("processor of a node with ", waiters, " waiters"), "of a core", cpu).Judged(atMost(0.01)),
		report.Measured(row, "memory of a waiter, collected", "KiB", memory).Judged(atMost(32)),
		report.Measured(row, "grants of one node over HTTP, each given up", "a second", rates...).Judged(atLeast(10_000)),
		report.Measured(row, "a miss with a claim, beyond one without", "ms", more...).Judged(atMost(2)),
	)
}

func buildPath(name string) string {
	return "/v1/builds/objects/" + strings.ReplaceAll(name, "/", "%2F")
}

// claimLine is what a node says of a build.
type claimLine struct{ Event, Claim string }

// grant is the token of a claim that is free.
func grant(b *testing.B, addr, name string) string {
	b.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+buildPath(name), http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var l claimLine
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil || resp.StatusCode != http.StatusCreated {
		b.Fatalf("grant of %s: %s, %v", name, resp.Status, err)
	}
	return l.Claim
}

// putClaimed puts what was built under a claim; an empty one is none.
func putClaimed(b *testing.B, addr, name, claim string, content []byte) {
	b.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/v1/objects/"+name, bytes.NewReader(content))
	if err != nil {
		b.Fatal(err)
	}
	if claim != "" {
		req.Header.Set("Larder-Claim", claim)
	}
	if err := ask(req, http.StatusCreated); err != nil {
		b.Fatal(err)
	}
}

// streams has a connection of its own for each waiter.
var streams = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// await waits on a stream until it says this event, and calls waits whenever it says
// that somebody else builds.
func await(ctx context.Context, addr, name, event string, waits func()) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+buildPath(name), http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := streams.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var l claimLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		switch l.Event {
		case event:
			return nil
		case "wait":
			waits()
		default:
			return fmt.Errorf("the stream says %s", lines.Bytes())
		}
	}
	return fmt.Errorf("the stream ended: %w", lines.Err())
}

// crowd has so many wait at all nodes, and then do what follows. all waits for their end.
func crowd(b *testing.B, nodes []*testcluster.Node, name string, waiters int, event string, then func(n *testcluster.Node) error) (end func(), all func() error) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var known sync.WaitGroup
	known.Add(waiters)
	ended := make(chan error, waiters)
	for i := range waiters {
		n := nodes[i%len(nodes)]
		go func() { // ends with ctx, and all waits for it
			waits := sync.OnceFunc(known.Done)
			err := await(ctx, n.HTTPAddr, name, event, waits)
			waits() // or never will
			if err == nil {
				err = then(n)
			}
			ended <- err
		}()
	}
	known.Wait()
	return cancel, func() (first error) {
		for range waiters {
			if err := <-ended; err != nil && first == nil {
				first = err
			}
		}
		cancel()
		return first
	}
}

// wake is how long after a builder's PUT the last of those who waited has the value.
func wake(b *testing.B, nodes []*testcluster.Node, name string, waiters int) float64 {
	b.Helper()
	content := body(1 << 20)
	claim := grant(b, nodes[0].HTTPAddr, name)
	_, all := crowd(b, nodes, name, waiters, "built", func(n *testcluster.Node) error {
		req, err := http.NewRequest(http.MethodGet, "http://"+n.HTTPAddr+"/v1/objects/"+name, http.NoBody)
		if err != nil {
			return err
		}
		return ask(req, http.StatusOK)
	})
	putClaimed(b, nodes[0].HTTPAddr, name, claim, content)
	began := time.Now()
	if err := all(); err != nil {
		b.Fatal(err)
	}
	return milliseconds(time.Since(began))
}

// readAtOnce is how long so many take who read an object at the same time.
func readAtOnce(b *testing.B, nodes []*testcluster.Node, name string, readers int) float64 {
	b.Helper()
	began := time.Now()
	parallel(b, readers, readers, func(i int) error {
		req, err := http.NewRequest(http.MethodGet, "http://"+nodes[i%len(nodes)].HTTPAddr+"/v1/objects/"+name, http.NoBody)
		if err != nil {
			return err
		}
		return ask(req, http.StatusOK)
	})
	return milliseconds(time.Since(began))
}

// takeOver is how long after the end of a builder's process the next one has the claim.
func takeOver(b *testing.B, nodes []*testcluster.Node, name string) float64 {
	b.Helper()
	builder := exec.Command("curl", "--silent", "--no-buffer", "--request", http.MethodPost, "--header", "Accept: application/x-ndjson",
		"http://"+nodes[1].HTTPAddr+buildPath(name))
	out, err := builder.StdoutPipe()
	if err == nil {
		err = builder.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "granted") {
		b.Fatalf("the builder hears %q, %v", line, err)
	}
	_, all := crowd(b, nodes[2:], name, 1, "granted", func(*testcluster.Node) error { return nil })
	began := time.Now()
	if err := builder.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	if err := all(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	_ = builder.Wait() // it was killed
	return milliseconds(took)
}

// waitingCost is what waiters cost a node: of a core, and KiB of memory each.
func waitingCost(b *testing.B, n *testcluster.Node, waiters int) (cpu, memory float64) {
	b.Helper()
	grant(b, n.HTTPAddr, "cost")
	before := live(b, n)
	end, all := crowd(b, []*testcluster.Node{n}, "cost", waiters, "built", func(*testcluster.Node) error { return nil })
	const lasts = 10 * time.Second
	spent := processor(b, n.Pid())
	time.Sleep(lasts) // so long is measured
	cpu = (processor(b, n.Pid()) - spent) / lasts.Seconds()
	memory = (live(b, n) - before) / 1024 / float64(waiters)
	end()
	_ = all() // they were ended
	return cpu, memory
}

// live is what a node's heap and stacks hold after a collection, in bytes: what was not
// collected yet is no cost of anybody.
func live(b *testing.B, n *testcluster.Node) (bytes float64) {
	b.Helper()
	for range 2 { // what a pool holds goes with the second
		req, err := http.NewRequest(http.MethodGet, n.AdminURL()+"/debug/pprof/heap?gc=1", http.NoBody)
		if err == nil {
			err = ask(req, http.StatusOK)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"go_memstats_heap_alloc_bytes", "go_memstats_stack_inuse_bytes"} {
		v, err := n.Metric(name, nil)
		if err != nil {
			b.Fatal(err)
		}
		bytes += v
	}
	return bytes
}

// processor is the processor time that a process has taken, in seconds.
func processor(b *testing.B, pid int) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, fields, _ := strings.Cut(string(stat), ") ") // proc(5): from the third field on
	all := strings.Fields(fields)
	var user, system float64
	if _, err := fmt.Sscan(all[11]+" "+all[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	const ticks = 100 // a second, on Linux
	return (user + system) / ticks
}

// grantRate has many at once be granted claims of keys that are in memory, which are
// given up at once. Of a key that is not there each grant is a question to S3, as a miss is.
func grantRate(b *testing.B, n *testcluster.Node, lasts time.Duration) float64 {
	b.Helper()
	const callers, keysEach, size = 32, 32, 64
	fill(b, n.HTTPAddr, callers*keysEach, size)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	var granted atomic.Int64
	until := time.Now().Add(lasts)
	parallel(b, callers, callers, func(i int) error {
		for j := 0; time.Now().Before(until); j++ {
			if err := grantAndGiveUp(client, "http://"+n.HTTPAddr+buildPath(name(size, i*keysEach+j%keysEach))); err != nil {
				return err
			}
			granted.Add(1)
		}
		return nil
	})
	return float64(granted.Load()) / lasts.Seconds()
}

func grantAndGiveUp(client *http.Client, url string) error {
	resp, err := client.Post(url, "application/json", strings.NewReader(`{"max_age": 0}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var l claimLine
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil || l.Claim == "" {
		return fmt.Errorf("grant: %s, %w", resp.Status, err)
	}
	req, err := http.NewRequest(http.MethodDelete, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Larder-Claim", l.Claim)
	given, err := client.Do(req)
	if err != nil {
		return err
	}
	defer given.Body.Close()
	if given.StatusCode != http.StatusNoContent {
		return fmt.Errorf("give up: %s", given.Status)
	}
	return nil
}

// missAndPut is a GET of what is not there and its PUT, with or without a claim between.
func missAndPut(b *testing.B, n *testcluster.Node, name string, claimed bool) float64 {
	b.Helper()
	began := time.Now()
	req, err := http.NewRequest(http.MethodGet, "http://"+n.HTTPAddr+"/v1/objects/"+name, http.NoBody)
	if err == nil {
		err = ask(req, http.StatusNotFound)
	}
	if err != nil {
		b.Fatal(err)
	}
	claim := ""
	if claimed {
		claim = grant(b, n.HTTPAddr, name)
	}
	putClaimed(b, n.HTTPAddr, name, claim, body(1<<10))
	return milliseconds(time.Since(began))
}
