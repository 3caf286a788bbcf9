// Command writes measures what a write costs beside the SDK's own PutObject to
// the same S3: through the key's owner, with 1, 3, 10 and 30 members in this
// process, each a real member with its own peer port. A and B take turns, each
// with keys of its own; it prints medians and their ratio.
//
//	go run ./bench/writes [-n 200] [-size 1024] [-delay 0]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/cluster"
	"larder/fill"
	"larder/keys"
	"larder/store"
	"larder/store/embedded"
	"larder/writepath"
)

func main() {
	n := flag.Int("n", 200, "writes of each kind for each number of members")
	size := flag.Int("size", 1024, "bytes of an object")
	delay := flag.Duration("delay", 0, "added to every answer of the S3, as the network to a real one would")
	flag.Parse()
	if err := run(*n, *size, *delay); err != nil {
		fmt.Fprintln(os.Stderr, "writes:", err)
		os.Exit(1)
	}
}

func run(n, size int, delay time.Duration) error {
	dir, err := os.MkdirTemp("", "larder-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server, err := embedded.New(embedded.Config{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	var parts errgroup.Group
	parts.Go(func() error { return server.Run(ctx) })
	if err := server.Ready(ctx); err != nil {
		return err
	}
	cfg := server.S3Config()
	cfg.HTTPClient = &http.Client{Transport: delayed{cfg.HTTPClient.Transport, delay}}

	fmt.Printf("| members | SDK PutObject, median | write, median | ratio |\n|---|---|---|---|\n")
	for _, members := range []int{1, 3, 10, 30} {
		if err := measure(ctx, cfg, members, n, size); err != nil {
			return err
		}
	}
	cancel()
	return parts.Wait()
}

// measure takes turns between the SDK and a write with this many members.
func measure(ctx context.Context, cfg store.S3Config, members, n, size int) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts errgroup.Group
	defer func() { cancel(); _ = parts.Wait() }()
	path, ring, err := start(ctx, &parts, cfg, members)
	if err != nil {
		return err
	}
	sdk := s3.New(s3.Options{
		BaseEndpoint: aws.String(cfg.Endpoint), Region: cfg.Region, UsePathStyle: true, HTTPClient: cfg.HTTPClient,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
	})
	body := make([]byte, size)
	var a, b []time.Duration
	for i := range n {
		began := time.Now()
		if _, err := sdk.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(cfg.Bucket), Key: aws.String(fmt.Sprintf("sdk/%d/%d", members, i)), Body: bytes.NewReader(body),
		}); err != nil {
			return err
		}
		a = append(a, time.Since(began))

		k := owned(ring, fmt.Sprintf("%d/%d", members, i))
		began = time.Now()
		if _, err := path.Put(ctx, k, store.Head{ContentType: "application/octet-stream"}, body, writepath.Conditions{}); err != nil {
			return err
		}
		b = append(b, time.Since(began))
	}
	ma, mb := median(a), median(b)
	fmt.Printf("| %d | %s | %s | %.2f |\n", members, ma.Round(time.Microsecond), mb.Round(time.Microsecond), float64(mb)/float64(ma))
	return nil
}

// start starts members that have settled with each other, and returns the
// write path and the ring of the first.
func start(ctx context.Context, parts *errgroup.Group, cfg store.S3Config, members int) (*writepath.Path, *cluster.Cluster, error) {
	st, err := store.NewS3(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	var rings []*cluster.Cluster
	var paths []*writepath.Path
	for i := range members {
		var join []string
		if i > 0 {
			join = []string{rings[0].GossipAddr()}
		}
		c, err := cluster.New(cluster.Config{
			Name: fmt.Sprint("node-", i), GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Join: join,
			Label: fmt.Sprint("bench-", members), Log: zerolog.Nop(),
		})
		if err != nil {
			return nil, nil, err
		}
		f, err := fill.New(fill.Config{
			Group: fmt.Sprint(members, "-", i), Memory: 64 << 20, ChunkSize: 8 << 20,
			Lease: 5 * time.Second, Revalidate: time.Minute, Log: zerolog.Nop(),
		}, st, c)
		if err != nil {
			return nil, nil, err
		}
		p := writepath.New(writepath.Config{
			Lease: 5 * time.Second, Memory: 64 << 20, ChunkSize: 8 << 20, MaxObject: 5 << 30, Log: zerolog.Nop(),
		}, st, f, c)
		f.Handle(c.Handle)
		p.Handle(c.Handle)
		c.OnChange(p.RingChanged)
		c.OnGossip(p.Hint)
		parts.Go(func() error { return c.Run(ctx) })
		parts.Go(func() error { return p.Run(ctx) })
		rings, paths = append(rings, c), append(paths, p)
	}
	for i := range rings {
		for len(rings[i].Members()) != members || !paths[i].Settled() {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return paths[0], rings[0], nil
}

// owned is a key that this member owns, so that no forwarding is measured.
func owned(ring *cluster.Cluster, name string) keys.Key {
	for i := 0; ; i++ {
		k := keys.Key{Org: "bench", Service: keys.Objects, Name: fmt.Sprint(name, "/", i)}
		if _, self := ring.Owner(k.Hash()); self {
			return k
		}
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// delayed adds a delay to every answer.
type delayed struct {
	http.RoundTripper
	delay time.Duration
}

func (d delayed) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.delay > 0 {
		time.Sleep(d.delay)
	}
	return d.RoundTripper.RoundTrip(r)
}
