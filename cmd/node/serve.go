package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/admin"
	"larder/auth"
	"larder/cluster"
	"larder/fill"
	"larder/httpapi"
	"larder/keys"
	"larder/reread"
	"larder/store"
	"larder/store/embedded"
	"larder/writepath"
)

const (
	// drainLimit bounds a shutdown: the longest write of one chunk, and a
	// little. S3 may take longer to complete a large object, whose outcome is
	// then unknown.
	drainLimit = 60 * time.Second
	// headerLimit bounds the wait for a request's header, idleLimit the wait
	// for the next request on a connection.
	headerLimit = 10 * time.Second
	// maxHeader bounds a request's header, in bytes: the key, the conditions and
	// the metadata of a write travel on to the key's owner.
	maxHeader = 64 << 10
	idleLimit = 2 * time.Minute
)

// node is a node's parts, in the order in which they depend on each other.
type node struct {
	cfg        *serveCmd
	log        zerolog.Logger
	embedded   *embedded.Server // nil if there is a bucket
	store      *store.S3
	cluster    *cluster.Cluster
	fill       *fill.Filler
	write      *writepath.Path
	tokens     *auth.Tokens     // nil if there is no tokens file
	secrets    *cluster.Secrets // nil, as is secretFile, if there is no file with them
	secretFile *reread.File
	admin      *admin.Admin
	public     *server
	private    *server
	ballast    []byte // see limitHeap
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
	n = &node{cfg: c, log: newLogger(c.LogLevel)}
	n.ballast = limitHeap(int64(c.Memory))
	if err := n.openSecrets(); err != nil {
		return nil, err
	}
	if c.TokensFile != "" {
		if n.tokens, err = auth.Open(auth.Config{Path: c.TokensFile, ValidOrg: keys.ValidOrg}, n.log); err != nil {
			return nil, fmt.Errorf("--tokens-file: %w; 'node token' makes its entries", err)
		}
	}
	n.admin = admin.New(n.log)
	from, goVersion := builtFrom()
	n.admin.Metrics.Build(version, from, goVersion)
	if n.public, err = listen("--http-addr", c.HTTPAddr); err != nil {
		return nil, err
	}
	if n.private, err = listen("--admin-addr", c.AdminAddr); err != nil {
		return nil, err
	}
	if err := n.openStore(ctx); err != nil {
		return nil, err
	}
	n.cluster, err = cluster.New(cluster.Config{
		Name: c.Name, GossipAddr: c.GossipAddr, PeerAddr: c.PeerAddr, Advertise: c.Advertise,
		Join: c.Join, Label: c.ClusterLabel, Secrets: n.secrets, Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	n.fill, err = fill.New(fill.Config{
		Group: "chunks", Memory: int64(c.Memory), ChunkSize: int64(c.ChunkSize),
		Lease: c.Lease, Revalidate: c.Revalidate, Freed: n.admin.Metrics.Freed, Log: n.log,
	}, n.store, n.cluster)
	if err != nil {
		return nil, err
	}
	n.write = writepath.New(writepath.Config{
		Lease: c.Lease, Memory: int64(c.Memory), ChunkSize: int64(c.ChunkSize), MaxObject: int64(c.MaxObjectSize),
		Waited: n.admin.Metrics.Waited, Log: n.log,
	}, n.store, n.fill, n.cluster)
	n.connect()
	return n, nil
}

// openStore opens the bucket, or makes the embedded S3 that takes its place.
func (n *node) openStore(ctx context.Context) (err error) {
	c := n.cfg
	s3 := store.S3Config{
		Bucket: c.S3Bucket, Endpoint: c.S3Endpoint, Region: c.S3Region, Prefix: c.S3Prefix, PathStyle: c.S3PathStyle,
	}
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
func (n *node) connect() {
	n.fill.Answer(n.cluster.Handle)
	n.write.Answer(n.cluster.Handle)
	n.cluster.OnChange(n.write.RingChanged)
	n.cluster.OnGossip(n.write.Hint)
	n.admin.Metrics.Memory(int64(n.cfg.Memory), n.fill.Stats)
	n.admin.Metrics.Writes(n.write.Stats)
	n.admin.Metrics.Cluster(n.cluster)
	n.private.Handler = n.admin.Handler(n.cluster)

	var who httpapi.Authenticator = everyone{}
	if n.tokens != nil {
		who = n.tokens
	}
	n.public.Handler = httpapi.New(httpapi.Config{
		MaxObject:  int64(n.cfg.MaxObjectSize),
		ChunkSize:  int64(n.cfg.ChunkSize),
		BodyMemory: int64(n.cfg.Memory) / 32,
		OwnMachine: n.tokens == nil && !n.cfg.InsecureNoAuth,
		Observe:    n.admin.Metrics.Request,
		Log:        n.log,
	}, n.fill, n.write, n.store, who)
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
	if n.tokens != nil {
		g.Go(func() error { return n.tokens.Run(failed) })
	}
	if n.secretFile != nil {
		g.Go(func() error { return n.secretFile.Run(failed, secretInterval, n.secretsChanged) })
	}
	g.Go(func() error { return n.cluster.Run(failed) })
	g.Go(func() error { return n.write.Run(failed) })
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

// The checks of readiness, each until it succeeds once.

func (n *node) seeStore(ctx context.Context) error {
	if err := n.store.Ping(ctx); err != nil {
		return fmt.Errorf("the store has not been seen: %w", err)
	}
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
	if !n.write.Settled() {
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
		{"finish writes", n.write.Drain},
		{"forget heads", func(context.Context) error { n.fill.Forget(); return nil }},
		{"leave the cluster", n.cluster.Leave},
		{"finish requests", n.public.Shutdown},
		{"stop the admin port", n.private.Shutdown},
	} {
		if err := step.do(ctx); err != nil {
			n.log.Warn().Err(err).Str("step", step.name).Msg("shutdown step not completed")
		}
	}
}

// announce says in one line where the node listens and keeps its data.
func (n *node) announce() {
	data := n.cfg.DataDir
	if n.embedded == nil {
		data = "s3://" + n.cfg.S3Bucket
	}
	n.log.Info().Str("http", "http://"+n.public.Addr).Str("admin", "http://"+n.private.Addr).
		Str("name", n.cfg.Name).Str("data", data).Msg("serving")
	if n.tokens == nil && !isLoopback(n.cfg.HTTPAddr) {
		n.log.Warn().Msg("serving off loopback without tokens: everyone who reaches the port may read and write everything")
	}
}

// server is an HTTP server with its listener.
type server struct {
	http.Server
	listener net.Listener
}

func listen(flag, addr string) (*server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another with %s", flag, addr, err, flag)
	}
	return &server{
		Server:   http.Server{Addr: l.Addr().String(), ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader},
		listener: l,
	}, nil
}

func (s *server) serve() error {
	if err := s.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.Addr, err)
	}
	return nil
}

// everyone is who asks where there are no tokens: one org, on loopback.
type everyone struct{}

func (everyone) Authenticate(string) (auth.Principal, error) {
	return auth.Principal{Org: "default", User: "anonymous", Role: auth.Admin}, nil
}
