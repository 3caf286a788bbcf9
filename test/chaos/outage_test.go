package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"larder/test/history"
	"larder/test/testcluster"
)

const (
	outage = 10 * time.Second
	// backLimit bounds the time from S3's return to writes and reads as before.
	backLimit = 10 * time.Second
)

// TestOutage takes S3 away for ten seconds. What memory holds under a live
// lease is served all the time through every node, everything else is a 503
// with Retry-After within a client's patience, and when S3 is back all is as
// it was, with nothing lost and nothing restarted.
func TestOutage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, config{nodes: 3, seed: 11, flags: []string{"--lease", "1m", "--revalidate", "1m"}})
	h := history.New()
	o := &outageClients{t: t, cluster: c, history: h}
	var held, away []string // in memory under a live lease everywhere, and nowhere
	for i := range 6 {
		held, away = append(held, fmt.Sprintf("held-%d", i)), append(away, fmt.Sprintf("away-%d", i))
	}
	values := map[string]string{}
	for i, key := range append(append([]string{}, held...), away...) {
		values[key] = fmt.Sprintf("before-%d", i)
		o.must(o.ask(0, &history.Op{Key: key, Verb: history.Put, Value: values[key]}), values[key])
	}
	for _, n := range c.nodes { // away is forgotten with what else the nodes know
		n.Stop()
		n.launch()
		n.welcome()
	}
	c.waitMembers()
	for n := range c.nodes {
		for _, key := range held {
			o.must(o.ask(n, &history.Op{Key: key, Verb: history.Get}), values[key])
		}
	}

	if err := c.front.set(s3Fault{Kind: s3Gone}); err != nil {
		t.Fatal(err)
	}
	gone := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), gone.Add(outage))
	defer cancel()
	var clients sync.WaitGroup
	for n := range c.nodes {
		clients.Go(func() { o.served(ctx, n, held, values) })
		clients.Go(func() { o.refused(ctx, n, away) })
	}
	clients.Wait()
	if err := c.front.set(s3Fault{}); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for n := range c.nodes {
		testcluster.Eventually(t, backLimit, "all is as before", func() error {
			w := o.ask(n, &history.Op{Key: fmt.Sprintf("new-%d", n), Verb: history.Put, Value: fmt.Sprintf("after-%d", n)})
			if w.Outcome != history.Done {
				return fmt.Errorf("%s", w)
			}
			return nil
		})
	}
	t.Logf("writes through every node again %.2f s after S3 was back", time.Since(back).Seconds())
	o.kept(held, away, values)
	t.Log(o.toll())
}

// outageClients ask through nodes and remember what they got.
type outageClients struct {
	t       *testing.T
	cluster *cluster
	history *history.History
}

func (o *outageClients) ask(n int, a *history.Op) *history.Op {
	a.Node = n
	c := &client{
		node: o.cluster.nodes[n], history: o.history, rng: rand.New(rand.NewPCG(11, uint64(n))),
		wrong: func(err error) { o.t.Error(err) },
	}
	c.do(a)
	return a
}

// must fails the test unless a is done; a read must have found value.
func (o *outageClients) must(a *history.Op, value string) {
	if a.Outcome != history.Done || a.Reads() && a.Found != value {
		o.t.Errorf("%s; wanted %s", a, value)
	}
}

// served reads what is in memory, all the time.
func (o *outageClients) served(ctx context.Context, n int, held []string, values map[string]string) {
	for i := 0; ctx.Err() == nil; i++ {
		key := held[i%len(held)]
		o.must(o.ask(n, &history.Op{Key: key, Verb: history.Get}), values[key])
		sleep(ctx, 20*time.Millisecond)
	}
}

// refused asks for what only S3 has, and writes. A write may be refused or
// have an outcome that is not known; both are 503.
func (o *outageClients) refused(ctx context.Context, n int, away []string) {
	for i := 0; ctx.Err() == nil; i++ {
		for _, a := range []*history.Op{
			{Key: away[i%len(away)], Verb: history.Get},
			{Key: fmt.Sprintf("new-%d", n), Verb: history.Put, Value: fmt.Sprintf("during-%d-%d", n, i)},
		} {
			o.ask(n, a)
			if a.Status != http.StatusServiceUnavailable || a.Advice == "" {
				o.t.Errorf("not a 503 with Retry-After while S3 is gone: %s", a)
			}
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// kept reads everything through every node: nothing is lost.
func (o *outageClients) kept(held, away []string, values map[string]string) {
	for n := range o.cluster.nodes {
		for _, key := range append(append([]string{}, held...), away...) {
			o.must(o.ask(n, &history.Op{Key: key, Verb: history.Get}), values[key])
		}
		key, value := fmt.Sprintf("new-%d", n), fmt.Sprintf("after-%d", n)
		for at := range o.cluster.nodes {
			o.must(o.ask(at, &history.Op{Key: key, Verb: history.Get, Fresh: true}), value)
		}
	}
}

// toll is what the outage cost.
func (o *outageClients) toll() string {
	var served, unavailable, writes int
	var slowServed, slowUnavailable, slowWrite time.Duration
	for _, a := range o.history.All() {
		took := time.Duration(a.Ret - a.Call)
		switch {
		case a.Reads() && a.Outcome == history.Done:
			served, slowServed = served+1, max(slowServed, took)
		case a.Reads():
			unavailable, slowUnavailable = unavailable+1, max(slowUnavailable, took)
		case a.Outcome != history.Done:
			writes, slowWrite = writes+1, max(slowWrite, took)
		}
	}
	return fmt.Sprintf("reads answered: %d, slowest %.2f s; reads 503: %d, slowest %.2f s; writes 503: %d, slowest %.2f s",
		served, slowServed.Seconds(), unavailable, slowUnavailable.Seconds(), writes, slowWrite.Seconds())
}
