package chaos

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"larder/test/history"
)

// trouble is a fault as it happened.
type trouble struct {
	fault
	window
}

// inflictor carries a schedule out.
type inflictor struct {
	t       *testing.T
	cluster *cluster
	history *history.History
	nodes   int // of the cluster when it is not scaled
	begun   func()

	mu       sync.Mutex // guards troubles
	troubles []trouble
}

// run carries out all faults, each track by itself: those of the nodes on the
// test's own goroutine, which may end the test.
func (i *inflictor) run(faults []fault) {
	tracks := map[track][]fault{}
	for _, f := range faults {
		tracks[f.kind.track()] = append(tracks[f.kind.track()], f)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel() // if the test ends here
	others.Go(func() { i.follow(ctx, tracks[ofNetwork], i.network) })
	others.Go(func() { i.follow(ctx, tracks[ofS3], i.s3) })
	i.follow(ctx, tracks[ofNodes], i.node)
	others.Wait()
}

// lost is how many nodes were killed.
func (i *inflictor) lost() (n int) {
	for _, tr := range i.troubles {
		if tr.kind == kill {
			n++
		}
	}
	return n
}

// follow inflicts the faults of one track, each when it is due or as soon as
// the one before is over.
func (i *inflictor) follow(ctx context.Context, faults []fault, inflict func(context.Context, fault)) {
	for _, f := range faults {
		sleep(ctx, time.Until(i.history.Began.Add(f.at)))
		if ctx.Err() != nil {
			return
		}
		i.mu.Lock()
		i.begun()
		i.mu.Unlock()
		from := i.history.Now()
		inflict(ctx, f)
		i.mu.Lock()
		i.troubles = append(i.troubles, trouble{fault: f, window: window{from: from, to: i.history.Now()}})
		i.mu.Unlock()
	}
}

// network inflicts a fault between nodes.
func (i *inflictor) network(ctx context.Context, f fault) {
	w := i.cluster.network
	lost := f.kind != delay
	switch f.kind {
	case apart:
		for peer := range i.cluster.nodes {
			w.set(f.node, peer, true, 0)
			w.set(peer, f.node, true, 0)
		}
	default:
		w.set(f.node, f.peer, lost, f.delay)
		if !f.oneWay || !lost {
			w.set(f.peer, f.node, lost, f.delay)
		}
	}
	sleep(ctx, f.lasts)
	w.heal()
}

// s3 inflicts a fault on S3.
func (i *inflictor) s3(ctx context.Context, f fault) {
	if err := i.cluster.front.set(s3Fault{Kind: f.kind, Share: f.share, Delay: f.delay}); err != nil {
		i.t.Errorf("front: %v", err)
	}
	sleep(ctx, f.lasts)
	if err := i.cluster.front.set(s3Fault{}); err != nil {
		i.t.Errorf("front: %v", err)
	}
}

// node inflicts a fault on nodes.
func (i *inflictor) node(ctx context.Context, f fault) {
	i.t.Helper()
	n := i.cluster.nodes[f.node]
	switch f.kind {
	case kill:
		i.during(n, func() {
			n.close(false)
			n.Kill()
			sleep(ctx, f.lasts)
			n.launch()
			n.welcome()
		})
	case hiccup, pause:
		i.during(n, func() {
			n.Pause()
			sleep(ctx, f.lasts)
			n.Resume()
		})
	case roll:
		for _, n := range i.cluster.nodes[:i.nodes] {
			i.during(n, func() { i.stop(n); n.launch(); n.welcome() })
			i.cluster.waitMembers()
		}
	case scale:
		more := i.cluster.nodes[i.nodes:]
		for _, n := range more {
			n.launch()
		}
		for _, n := range more {
			n.welcome()
		}
		sleep(ctx, f.lasts)
		for _, n := range more {
			i.stop(n)
		}
	default:
		panic(fmt.Sprintf("%s is no fault of a node", f.kind))
	}
}

func (i *inflictor) stop(n *node) {
	i.t.Helper()
	n.close(true)
	n.Stop()
}

// during does something that is trouble for a node.
func (i *inflictor) during(n *node, do func()) {
	i.t.Helper()
	from := i.history.Now()
	do()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trouble = append(n.trouble, window{from: from, to: i.history.Now()})
}
