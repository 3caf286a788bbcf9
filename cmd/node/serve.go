package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/budget"
	"larder/builds"
	"larder/cluster"
	"larder/fill"
	"larder/fill/tier/disk"
	"larder/heads"
	"larder/httpapi"
	"larder/httpapi/admin"
	"larder/httpapi/auth"
	"larder/httpapi/auth/issuer"
	"larder/httpapi/overview"
	"larder/httpapi/page"
	"larder/keys"
	"larder/store"
	"larder/store/embedded"
	"larder/store/expiry"
	"larder/usage"
	"larder/writepath"
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

	probed      sync.Mutex         // guards differences
	differences []store.Difference // of the store from S3, as they were logged
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
	if err := auditMore(n.fill); err != nil {
		return nil, err
	}
	if err := n.makeBuilds(); err != nil {
		return nil, err
	}
	n.expiry = expiry.New(n.store)
	n.usage = usage.New(n.policies, n.store, n.cluster, n.log)
	if err := n.makeWrite(plan); err != nil {
		return nil, err
	}
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

// makeWrite makes the path of writes.
func (n *node) makeWrite(plan budget.Plan) error {
	every, grace, err := expireSoon()
	if err != nil {
		return err
	}
	c := n.cfg
	n.write = writepath.New(writepath.Config{
		ExpireEvery: every, ExpireGrace: grace,
		Lease: c.Lease, Plan: plan, ChunkSize: int64(c.ChunkSize), MaxObject: int64(c.MaxObjectSize),
		Claims: n.builds, Usage: n.usage, Expiry: n.expiry, Waited: n.admin.Metrics.Waited, Log: n.log,
	}, n.store, n.heads, n.fill, n.cluster)
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
	if err := n.makeAPI(); err != nil {
		return err
	}
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

// makeAPI makes what answers researchers, and the page.
func (n *node) makeAPI() error {
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
	return nil
}

// measure has the metrics read the parts.
func (n *node) measure() {
	n.admin.Metrics.Memory(n.cfg.memory.tier, n.cfg.memory.most, n.fill.Stats)
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
