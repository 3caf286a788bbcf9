package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/admin"
	"larder/auth"
	"larder/auth/issuer"
	"larder/budget"
	"larder/builds"
	"larder/cluster"
	"larder/disk"
	"larder/expiry"
	"larder/fill"
	"larder/heads"
	"larder/httpapi"
	"larder/keys"
	"larder/overview"
	"larder/page"
	"larder/store"
	"larder/store/embedded"
	"larder/usage"
	"larder/writepath"
)

const (
	// drainLimit bounds a shutdown: the longest write of one chunk, and a
	// little. S3 may take longer to complete a large object, whose outcome is
	// then unknown.
	drainLimit = 60 * time.Second
	// farewellLimit is how long kept connections have to end with an answer.
	farewellLimit = 2 * time.Second
)

// node is a node's parts, in the order in which they depend on each other.
type node struct {
	cfg      *serveCmd
	log      zerolog.Logger
	embedded *embedded.Server // nil if there is a bucket
	store    *store.S3
	disk     *disk.Disk // nil if there is none
	cluster  *cluster.Cluster
	heads    *heads.Table
	fill     *fill.Filler
	builds   *builds.Builds
	write    *writepath.Path
	files    map[string]*configFile // that may change, by the name in metrics
	gate     auth.Gate              // without any kind of credential if there are none
	secrets  *cluster.Secrets       // nil if there is no file with them
	keyPair  *keyPair               // nil if the researchers' port speaks no TLS
	issuer   *issuer.Issuer         // nil if there is no identity provider
	policies *usage.Policies
	usage    *usage.Usage
	expiry   *expiry.Index
	api      *httpapi.API
	admin    *admin.Admin
	overview *overview.Overview
	public   *server
	private  *server
	door     *httpapi.Door // of the public server
	hatch    *httpapi.Door // of the private one
	seen     chan struct{} // closed once the store has been seen
	probed   sync.Once     // the store, and what was found is logged
}

// Run runs a node until ctx ends, then shuts it down.
func (c *serveCmd) Run(ctx context.Context) error {
	n, err := c.build(ctx)
	if err != nil {
		return err
	}
	return n.run(ctx)
}

// build makes all parts and binds all ports, and starts nothing.
func (c *serveCmd) build(ctx context.Context) (n *node, err error) {
	n = &node{cfg: c, log: newLogger(c.LogLevel), seen: make(chan struct{})}
	c.memory.begin(n.log)
	plan := *c.memory.plan.Load()
	if err := n.openFiles(); err != nil {
		return nil, err
	}
	n.admin = admin.New(n.log)
	from, goVersion := builtFrom()
	n.admin.Metrics.Build(version, from, goVersion)
	if n.public, err = listen("--http-addr", c.HTTPAddr, n.log); err != nil {
		return nil, err
	}
	if n.private, err = listen("--admin-addr", c.AdminAddr, n.log); err != nil {
		return nil, err
	}
	if err := n.openStore(ctx); err != nil {
		return nil, err
	}
	if err := n.openDisk(); err != nil {
		return nil, err
	}
	n.cluster, err = cluster.New(cluster.Config{
		Name: c.Name, GossipAddr: c.GossipAddr, PeerAddr: c.PeerAddr, Advertise: c.Advertise,
		Join: c.Join, Label: c.ClusterLabel, Secrets: n.secrets, Encrypt: c.encryptsPeers(), Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	trace, err := traced(n.cluster.Self().ID)
	if err != nil {
		return nil, err
	}
	n.heads = heads.New(heads.Config{
		Memory: plan.Heads, Lease: c.Lease, Revalidate: c.Revalidate, Log: n.log,
		Trace: trace, WasAway: func() { n.builds.WasAway() },
	}, n.cluster)
	n.fill, err = fill.New(fill.Config{
		Group: "chunks", Plan: plan, ChunkSize: int64(c.ChunkSize), Disk: n.disk, Freed: n.admin.Metrics.Freed, Log: n.log,
	}, n.store, n.heads, n.cluster)
	if err != nil {
		return nil, err
	}
	if err := n.makeBuilds(); err != nil {
		return nil, err
	}
	n.expiry = expiry.New(n.store)
	n.usage = usage.New(n.policies, n.store, n.cluster, n.log)
	n.write = writepath.New(writepath.Config{
		Lease: c.Lease, Plan: plan, ChunkSize: int64(c.ChunkSize), MaxObject: int64(c.MaxObjectSize),
		Claims: n.builds, Usage: n.usage, Expiry: n.expiry, Waited: n.admin.Metrics.Waited, Log: n.log,
	}, n.store, n.heads, n.fill, n.cluster)
	n.overview = overview.New(overview.Config{
		Version: version, Commit: from, Numbers: n.admin.Metrics.Numbers, Missing: n.admin.Missing, Log: n.log,
	}, n.cluster)
	return n, n.connect()
}

// makeBuilds makes the claims, whose tokens the cluster secret authenticates.
func (n *node) makeBuilds() error {
	secrets := n.secrets
	if secrets == nil {
		secrets = &cluster.Secrets{}
	}
	tokens, err := secrets.ClaimKeys()
	if err != nil {
		return err
	}
	n.builds = builds.New(builds.Config{Silence: n.cfg.ClaimSilence, Secrets: tokens, Log: n.log}, n.fill, n.cluster)
	return nil
}

// openStore opens the bucket, or makes the embedded S3 that takes its place.
func (n *node) openStore(ctx context.Context) (err error) {
	c := n.cfg
	s3 := c.config()
	if c.S3Bucket == "" {
		if n.embedded, err = embedded.New(embedded.Config{Dir: c.DataDir, Log: n.log}); err != nil {
			return fmt.Errorf("--data-dir: %w", err)
		}
		s3 = n.embedded.S3Config()
	}
	s3.Observe, s3.Log = n.admin.Metrics.S3, n.log
	if n.store, err = store.NewS3(ctx, s3); err != nil {
		return fmt.Errorf("--s3-bucket, --s3-region: %w", err)
	}
	return nil
}

// connect ties the parts together.
func (n *node) connect() error {
	n.heads.Answer(n.cluster.Handle)
	n.fill.Answer(n.cluster.Handle)
	n.write.Answer(n.cluster.Handle)
	n.usage.Answer(n.cluster.Handle)
	n.builds.Answer(n.cluster.Handle)
	n.overview.Answer(n.cluster.Handle)
	n.cluster.OnChange(n.heads.RingChanged)
	n.cluster.OnChange(n.fill.RingChanged)
	n.cluster.OnChange(n.builds.RingChanged)
	n.cluster.OnGossip(n.heads.Hint)

	var who httpapi.Authenticator = everyone{}
	if n.cfg.knowsCallers() {
		who = n.gate
	}
	ui, err := page.New(page.Config{Issuer: n.cfg.OIDCIssuer, ClientID: n.cfg.OIDCClientID, Audience: n.cfg.OIDCAudience})
	if err != nil {
		return err
	}
	var joined func() bool
	if len(n.cfg.Join) > 0 {
		joined = n.cluster.Joined
	}
	n.api = httpapi.New(httpapi.Config{
		Joined:     joined,
		Page:       ui,
		Overview:   n.overview,
		MaxObject:  int64(n.cfg.MaxObjectSize),
		ChunkSize:  int64(n.cfg.ChunkSize),
		BodyMemory: n.cfg.memory.plan.Load().Bodies,
		Usage:      n.usage,
		Heads:      n.fill.Heads,
		Where: func(ctx context.Context, k keys.Key, h store.Head) (c httpapi.Cached, err error) {
			c.Chunks, c.Nodes, err = n.fill.Where(ctx, n.cluster.Self().ID, n.cluster.Members(), k, h)
			return c, err
		},
		Expiry: func(org string) httpapi.Expiry {
			p := n.policies.Of(org)
			return httpapi.Expiry{Default: p.ExpiresIn, Max: p.MaxExpiresIn}
		},
		OwnMachine: !n.cfg.knowsCallers() && !n.cfg.InsecureNoAuth,
		TLS:        tlsConfig(n.keyPair, n.gate.Certificates),
		Front:      n.cfg.Front,
		Builds:     n.builds,
		Observe:    n.admin.Metrics.Request,
		Log:        n.log,
	}, n.fill, n.write, n.expiry, who)
	public, private, err := connectionLimits(n.cfg.memory.tier())
	if err != nil {
		return err
	}
	n.door = n.api.Bound(n.public.listener, public)
	n.door.Silent = n.keyPair != nil
	n.public.listener = n.api.Attach(&n.public.Server, n.door)
	n.hatch = n.api.Bound(n.private.listener, private)
	n.private.listener = n.hatch
	n.private.Handler = n.admin.Handler(n.cluster)
	n.measure()
	return nil
}

// measure has the metrics read the parts.
func (n *node) measure() {
	n.admin.Metrics.Memory(n.cfg.memory.tier, n.fill.Stats)
	n.admin.Metrics.Disk(n.disk.Stats)
	n.admin.Metrics.Heads(n.heads.Stats)
	n.admin.Metrics.Writes(n.write.Stats)
	n.admin.Metrics.Usage(n.usage.Stats)
	n.admin.Metrics.Builds(n.builds.Stats)
	n.admin.Metrics.Cluster(n.cluster)
	n.admin.Metrics.Connections(n.door.Connections)
	n.admin.Metrics.Files(n.fileStates())
	n.admin.Metrics.Certificate(n.keyPair.expires)
}

// run starts the parts and, when ctx ends, stops them: not ready, stop owning,
// leave, drain, exit.
func (n *node) run(ctx context.Context) error {
	parts, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	defer stopParts()
	g, failed := errgroup.WithContext(parts)
	if n.embedded != nil {
		g.Go(func() error { return n.embedded.Run(failed) })
		if err := n.embedded.Ready(ctx); err != nil {
			stopParts()
			return errors.Join(err, g.Wait())
		}
	}
	for _, f := range n.files {
		g.Go(func() error { return f.run(failed) })
	}
	if n.issuer != nil {
		g.Go(func() error { return n.issuer.Run(failed) })
	}
	g.Go(func() error { return n.enter(failed) })
	g.Go(func() error { return n.disk.Run(failed) })
	g.Go(func() error { return n.heads.Run(failed) })
	g.Go(func() error { return n.write.Run(failed) })
	g.Go(func() error { return n.usage.Run(failed) })
	g.Go(func() error { return n.builds.Run(failed) })
	g.Go(func() error { return n.overview.Run(failed) })
	g.Go(func() error { return n.probeStore(failed) })
	g.Go(func() error { return n.cfg.memory.run(failed, n.resize) })
	g.Go(func() error { return n.admin.Run(failed, n.seeStore, n.haveJoined, n.haveSettled) })
	g.Go(n.private.serve)
	g.Go(n.public.serve)
	n.announce()

	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	n.shutdown()
	stopParts()
	err := g.Wait()
	n.fill.Close()
	return err
}

// enter takes part in the cluster from when the store has been seen. A member owns keys,
// so one that cannot ask the store for them would take them from everybody, though it is not ready.
func (n *node) enter(ctx context.Context) error {
	select {
	case <-n.seen:
		return n.cluster.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// The checks of readiness, each until it succeeds once.

// seeStore also finds out what the store is good for, if that can be found out at
// the first look; probeStore goes on. The store's errors are fit for callers.
func (n *node) seeStore(ctx context.Context) error {
	if err := n.store.Ping(ctx); err != nil {
		n.cluster.Absent()
		return fmt.Errorf("the store has not been seen: %w", err)
	}
	close(n.seen)
	_ = n.probe(ctx) // probeStore logs why it fails
	return nil
}

func (n *node) haveJoined(context.Context) error {
	switch {
	case n.cluster.Joined():
		return nil
	case len(n.cfg.Join) == 0:
		return errors.New("gossip has not begun")
	default:
		return errors.New("no member of --join has been reached yet; are they running, with the same secret and label?")
	}
}

func (n *node) haveSettled(context.Context) error {
	if !n.heads.Settled() {
		return errors.New("not every member has finished the writes that it began before it knew this node")
	}
	return nil
}

func (n *node) shutdown() {
	n.log.Info().Dur("atmost", drainLimit).Msg("shutting down, waiting for requests under way; a second signal ends at once")
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	n.admin.NotReady("shutting down")
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"end streams", n.builds.Drain},
		{"let connections go", n.letConnectionsGo},
		{"hand chunks on", n.fill.HandOn},
		{"finish writes and forget heads", n.heads.Retire},
		{"leave the cluster", n.cluster.Leave},
		{"finish requests", n.public.Shutdown},
		{"finish answers", n.untilNoConnections},
		{"write what was counted", n.usage.Close},
		{"stop the admin port", n.private.Shutdown},
	} {
		if err := step.do(ctx); err != nil {
			n.log.Warn().Err(err).Str("step", step.name).Msg("shutdown step not completed")
		}
	}
}

// letConnectionsGo answers all requests and ends each connection with its answer,
// until there are none, or for a moment: those who keep connections find another
// node, instead of a connection that is closed as they use it.
func (n *node) letConnectionsGo(ctx context.Context) error {
	n.api.Drain()
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	_ = n.untilNoConnections(ctx) // the rest is closed later
	return nil
}

// untilNoConnections waits until all connections have ended: those that net/http
// takes for idle, and closes, end with the answer that is being sent.
func (n *node) untilNoConnections(ctx context.Context) error {
	tick := time.NewTicker(farewellLimit / 100)
	defer tick.Stop()
	for {
		if open, _ := n.door.Connections(); open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// resize has every part fit into a plan of the memory that there is now.
func (n *node) resize(plan budget.Plan) {
	n.fill.Resize(plan)
	n.disk.Resize(plan.Index, plan.Behind)
	n.heads.Resize(plan.Heads)
	n.write.Resize(plan)
	n.api.Resize(plan.Bodies)
	if public, private, err := connectionLimits(plan.Tier); err == nil { // it was known at the start
		n.door.Resize(public)
		n.hatch.Resize(private)
	}
}

// announce says in one line where the node listens and keeps its data.
func (n *node) announce() {
	data := n.cfg.DataDir
	if n.embedded == nil {
		data = "s3://" + n.cfg.S3Bucket
	}
	scheme := "http://"
	if n.keyPair != nil {
		scheme = "https://"
	}
	n.log.Info().Str("http", scheme+n.public.Addr).Str("admin", "http://"+n.private.Addr).
		Str("name", n.cfg.Name).Str("data", data).Msg("serving")
	if !isLoopback(n.cfg.AdminAddr) {
		n.log.Info().Msg("the admin port is off loopback: /metrics, /livez and /readyz are for all who reach it, the rest for this machine only")
	}
	if !n.cfg.knowsCallers() && !isLoopback(n.cfg.HTTPAddr) {
		n.log.Warn().Msg("serving off loopback without tokens: everyone who reaches the port may read and write everything")
	}
}

// everyone authenticates every caller of a node without tokens as one user of one org.
type everyone struct{}

func (everyone) Authenticate(context.Context, auth.Credential) (auth.Principal, error) {
	return auth.Principal{Org: "default", User: "anonymous", Role: auth.Admin}, nil
}

func (e everyone) Known(string) (auth.Principal, bool) {
	p, _ := e.Authenticate(context.Background(), auth.Credential{}) // it knows everybody
	return p, true
}
