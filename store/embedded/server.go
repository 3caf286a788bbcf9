// Package embedded runs a real S3 server inside the process, over a local
// folder, so that a node without a bucket uses the same storage path as one
// with. The server is versitygw's with its posix backend, and what was
// acknowledged survives kill -9 and a power cut: see bucket and groupSync. The
// objects are plain files with their metadata in extended attributes. One
// process serves one folder; a process may serve several. The working
// directory does not matter and does not change. Everything is safe for
// concurrent use.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
	"golang.org/x/sys/unix"

	"larder/store"
)

// Config says what to serve, and where.
type Config struct {
	// Dir is made if it is missing. Its file system must keep extended
	// attributes.
	Dir string
	// Addr is host:port. Port 0 is a free port, chosen by New. Empty opens no
	// port: only S3Config's client knows the way, an abstract Unix socket of
	// a random name.
	Addr string
	// AccessKey and SecretKey are random if empty.
	AccessKey, SecretKey string
	// Bucket is made if it is missing. Empty is "larder".
	Bucket string
	Log    zerolog.Logger
}

const (
	defaultBucket = "larder"
	region        = "us-east-1"

	maxConnections = 4096
	maxRequests    = 1024
	maxParts       = 10_000
	// clientConnections keeps one process's own client within maxRequests:
	// more requests wait for a connection, and are not refused.
	clientConnections = 512
	dialTimeout       = 2 * time.Second
	stopPause         = 10 * time.Millisecond
)

// Server is the S3 server. New, then Run.
type Server struct {
	cfg    Config
	path   string // of the bucket, absolute
	listen string // what versitygw listens on
	client *http.Client
	lock   *os.File
	folder *os.File // the bucket's, to sync its file system
	api    *s3api.S3ApiServer
	bucket *bucket
	ready  chan struct{} // closed when it serves
	ended  chan struct{} // closed when Run ends
}

// New makes the folder and takes it for this process, until Run ends or the
// process does. It starts nothing.
func New(cfg Config) (*Server, error) {
	s, err := prepare(cfg)
	if err != nil {
		return nil, fmt.Errorf("embedded store: %w", err)
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("embedded store: %w", errors.Join(err, s.close()))
	}
	return s, nil
}

// prepare fills in the defaults.
func prepare(cfg Config) (*Server, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no folder given")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	cfg.Dir = dir
	if cfg.Bucket == "" {
		cfg.Bucket = defaultBucket
	}
	if cfg.AccessKey == "" {
		cfg.AccessKey = rand.Text()
	}
	if cfg.SecretKey == "" {
		cfg.SecretKey = rand.Text()
	}
	s := &Server{
		cfg:   cfg,
		path:  filepath.Join(dir, cfg.Bucket),
		ready: make(chan struct{}),
		ended: make(chan struct{}),
	}
	network := "tcp"
	if cfg.Addr == "" {
		network, s.listen = "unix", "@larder-"+rand.Text()
	} else if s.listen, err = address(cfg.Addr); err != nil {
		return nil, err
	}
	s.client = client(network, s.listen)
	return s, nil
}

// address chooses a port if the address leaves it open, since versitygw would
// not say which it got.
func address(addr string) (string, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("the address %q is not host:port: %w", addr, err)
	}
	if port != "0" {
		return addr, nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("choose a port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

func client(network, addr string) *http.Client {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, addr)
		},
		MaxConnsPerHost:     clientConnections,
		MaxIdleConnsPerHost: clientConnections,
		DisableCompression:  true,
	}}
}

// open takes the folder and sets up versitygw on it.
func (s *Server) open() (err error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	if s.lock, err = lockFolder(s.cfg.Dir); err != nil {
		return err
	}
	disk := &groupSync{sync: func() error { return unix.Syncfs(int(s.folder.Fd())) }}
	if s.bucket, err = newBucket(s.path, s.cfg.Bucket, disk, s.cfg.Log); err != nil {
		return err
	}
	if s.folder, err = os.Open(s.path); err != nil {
		return fmt.Errorf("open the bucket: %w", err)
	}
	if err := s.bucket.removeLeftovers(); err != nil {
		return err
	}
	if err := disk.wait(); err != nil {
		return fmt.Errorf("sync %s: %w", s.path, err)
	}
	root := auth.Account{Access: s.cfg.AccessKey, Secret: s.cfg.SecretKey, Role: auth.RoleAdmin}
	s.api, err = s3api.New(s.bucket,
		middlewares.RootUserConfig{Access: root.Access, Secret: root.Secret}, region,
		onlyRoot{auth.NewIAMServiceSingle(root)}, nil, nil, nil, nil,
		s3api.WithQuiet(),
		s3api.WithKeepAlive(),
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests),
		s3api.WithMpMaxParts(maxParts),
		s3api.WithOnListen(func() { close(s.ready) }),
	)
	if err != nil {
		return fmt.Errorf("set up the server: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then finishes what it is doing and gives the
// folder back. It must be called once only.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.ended)
	served := make(chan error, 1)
	go func() { served <- s.api.ServeMultiPort([]string{s.listen}) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		err = s.stop(served)
	}
	if err = errors.Join(err, s.close()); err != nil {
		return fmt.Errorf("embedded store: %w", err)
	}
	return nil
}

// stop lets the requests end that run, for ten seconds at most. versitygw does
// not notice a stop that comes before it has begun to serve, so it is asked
// until it is seen to have ended.
func (s *Server) stop(served <-chan error) error {
	s.client.CloseIdleConnections()
	for {
		if err := s.api.ShutDown(); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		select {
		case <-served: //nolint:errcheck // with an error that says that its listener was closed
			return nil
		case <-time.After(stopPause):
		}
	}
}

// Ready waits until the server serves.
func (s *Server) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-s.ended:
		return errors.New("embedded store: it has ended")
	case <-ctx.Done():
		return fmt.Errorf("embedded store: wait until it serves: %w", ctx.Err())
	}
}

// S3Config says how to reach the server, also before it serves.
func (s *Server) S3Config() store.S3Config {
	endpoint := "http://larder.internal"
	if s.cfg.Addr != "" {
		endpoint = "http://" + s.listen
	}
	return store.S3Config{
		Bucket:     s.cfg.Bucket,
		Endpoint:   endpoint,
		Region:     region,
		PathStyle:  true,
		AccessKey:  s.cfg.AccessKey,
		SecretKey:  s.cfg.SecretKey,
		HTTPClient: s.client,
	}
}

func (s *Server) close() error {
	var err error
	if s.bucket != nil {
		s.bucket.Shutdown()
	}
	for _, file := range []*os.File{s.folder, s.lock} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

// onlyRoot knows the root account alone. With versitygw's own service for one account
// an unknown access key is answered 404, which S3 does not do.
type onlyRoot struct{ auth.IAMService }

// GetUserAccount implements auth.IAMService. It is not asked for the root.
func (onlyRoot) GetUserAccount(string) (auth.Account, error) {
	return auth.Account{}, auth.ErrNoSuchUser
}
