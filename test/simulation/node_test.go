package simulation

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/budget"
	"larder/builds"
	"larder/cluster"
	"larder/fill"
	"larder/heads"
	"larder/httpapi"
	"larder/httpapi/auth"
	"larder/writepath"
)

const (
	lease      = time.Second
	revalidate = 5 * time.Second
	chunkSize  = 4 << 10
	maxObject  = 1 << 20
	// readyLimit is how long a node that has started may take until it is ready:
	// it may have to go on alone.
	readyLimit = 2 * time.Minute
	// expireEvery and expireGrace are short, so that much is removed that is written anew.
	expireEvery = 3 * time.Second
	expireGrace = time.Second
	// claimSilence is how long a builder may say nothing.
	claimSilence = 30 * time.Second
	drainLimit   = 60 * time.Second
)

// node is one start of a node: its real parts, put together as cmd/node does.
type node struct {
	host    *host
	cluster *cluster.Cluster
	heads   *heads.Table
	fill    *fill.Filler
	write   *writepath.Path
	builds  *builds.Builds
	api     http.Handler
	drain   func()
	stop    context.CancelFunc
	stopped chan struct{} // closed when all of it has ended
	serving atomic.Bool   // from when it is ready until it leaves
}

// groups counts the starts of nodes: groupcache has one name for each in the
// process.
var groups atomic.Int64

// newNode makes a node and starts nothing.
func newNode(w *world, s *slot) (*node, error) {
	n := &node{host: w.network.start(s.addr), stopped: make(chan struct{})}
	log := w.log(s.name)
	d := &door{bucket: w.bucket, host: n.host, late: w.doneLate, chance: newChance(w.seed, s.name+" asks S3")}
	plan := budget.New(budget.Sizes{Tier: 64 << 10, Limit: 4 << 30, Chunk: chunkSize, Part: writepath.PartSize(chunkSize, maxObject)})
	var err error
	n.cluster, err = cluster.New(cluster.Config{
		Name: s.name, GossipAddr: s.addr + gossipPort, PeerAddr: s.addr + ":0", Join: w.join(s), Network: n.host, Log: log,
	})
	if err != nil {
		return nil, err
	}
	id := n.cluster.Self().ID
	n.heads = heads.New(heads.Config{
		Memory: plan.Heads, Lease: lease, Revalidate: revalidate, Log: log,
		Trace:   func(e heads.Event) { w.trace(id, e) },
		WasAway: func() { n.builds.WasAway() },
	}, n.cluster)
	n.fill, err = fill.New(fill.Config{
		Group: fmt.Sprint("simulated-", groups.Add(1)), Plan: plan, ChunkSize: chunkSize, Log: log,
	}, d, n.heads, n.cluster)
	if err != nil {
		return nil, err
	}
	n.builds = builds.New(builds.Config{Silence: claimSilence, Secrets: secrets, Log: log}, n.fill, n.cluster)
	n.write = writepath.New(writepath.Config{
		Lease: lease, Plan: plan, ChunkSize: chunkSize, MaxObject: maxObject, ExpireEvery: expireEvery, ExpireGrace: expireGrace,
		Claims: n.builds, Log: log,
	}, d, n.heads, n.fill, n.cluster)
	n.heads.Answer(n.cluster.Handle)
	n.fill.Answer(n.cluster.Handle)
	n.write.Answer(n.cluster.Handle)
	n.builds.Answer(n.cluster.Handle)
	n.cluster.OnChange(n.heads.RingChanged)
	n.cluster.OnChange(n.fill.RingChanged)
	n.cluster.OnChange(n.builds.RingChanged)
	n.cluster.OnChange(w.look)
	n.cluster.OnGossip(n.heads.Hint)
	api := httpapi.New(httpapi.Config{MaxObject: maxObject, ChunkSize: chunkSize, BodyMemory: plan.Bodies, Builds: n.builds, Log: log}, n.fill, n.write, d, everyone{})
	n.api, n.drain = api, api.Drain
	return n, nil
}

// run starts the parts of a node.
func (n *node) run() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.cluster.Run(ctx) })
	g.Go(func() error { return n.heads.Run(ctx) })
	g.Go(func() error { return n.write.Run(ctx) })
	g.Go(func() error { return n.builds.Run(ctx) })
	go func() {
		defer close(n.stopped)
		if err := g.Wait(); err != nil {
			panic(err)
		}
		n.fill.Close()
	}()
}

// ready waits, by the simulation's clock, until a node may serve, and reports whether it may.
func (n *node) ready() bool {
	for began := time.Now(); time.Since(began) < readyLimit; time.Sleep(20 * time.Millisecond) {
		if n.cluster.Joined() && n.heads.Settled() {
			n.serving.Store(true)
			return true
		}
	}
	return false
}

// leave is a graceful end, in the order of cmd/node.
func (n *node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	_ = n.builds.Drain(ctx) // it has no error
	n.drain()
	_ = n.heads.Retire(ctx)  // what is not done in time has an unknown outcome, as in life
	_ = n.cluster.Leave(ctx) // nobody may be there to hear it
	n.stop()
	<-n.stopped
	n.host.end(false)
}

// crash cuts a node off for good; what is left of it ends unseen.
func (n *node) crash(silent bool) {
	n.serving.Store(false)
	n.host.end(silent)
	n.stop()
}

// secrets are the keys that authenticate the tokens of claims.
func secrets() [][]byte { return [][]byte{[]byte("simulated")} }

// everyone is who asks: one org.
type everyone struct{}

// Authenticate takes everybody.
func (everyone) Authenticate(context.Context, auth.Credential) (auth.Principal, error) {
	return auth.Principal{Org: "default", User: "anonymous", Role: auth.Admin}, nil
}

func (everyone) Known(string) (auth.Principal, bool) { return auth.Principal{}, false }

func level(verbose bool) zerolog.Level {
	if verbose {
		return zerolog.DebugLevel
	}
	return zerolog.WarnLevel
}
