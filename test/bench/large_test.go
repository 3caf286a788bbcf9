package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

const largeHeading = "Large objects, throughput"

// largeRow are large objects beside the SDK's own transfer manager to the same
// S3, and beside a plain file server.
func largeRow(b *testing.B, s *bench) {
	l := large{bench: s, size: 1 << 30, what: "1 GiB", rounds: 3}
	if s.report.Short {
		l.size, l.what = 128<<20, "128 MiB"
	}
	l.body = body(l.size)
	b.Run("put", l.put)
	b.Run("cold", func(b *testing.B) { l.cold(b, "", func(addr string) string { return addr }) })
	b.Run("far", func(b *testing.B) {
		l.cold(b, ", connections as slow as to a real S3", func(addr string) string { return link(b, addr) })
	})
	b.Run("warm", l.warm)
}

// large is what the measurements of large objects share.
type large struct {
	*bench
	size   int64
	what   string
	body   []byte
	rounds int
}

func (l large) cluster(b *testing.B, via func(string) string) *testcluster.Cluster {
	b.Helper()
	return testcluster.New(b, testcluster.Options{Nodes: 3, Flags: []string{"--memory", "2GiB"}, S3Via: via})
}

// rate is megabytes a second.
func (l large) rate(took time.Duration) float64 { return float64(l.size) / 1e6 / took.Seconds() }

func (l large) upload(b *testing.B, m *transfermanager.Client, at *string) time.Duration {
	b.Helper()
	began := time.Now()
	if _, err := m.UploadObject(context.Background(), &transfermanager.UploadObjectInput{
		Bucket: aws.String(bucket), Key: at, Body: bytes.NewReader(l.body),
	}); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// put is a PUT against the SDK's uploader. Two names take turns, so that no
// disk fills.
func (l large) put(b *testing.B) {
	c := l.cluster(b, nil)
	m := transfermanager.New(sdk(c.S3Addr()))
	n := 0
	samples := turns(l.rounds,
		func() float64 {
			n++
			began := time.Now()
			store(b, c.Nodes[n%3].HTTPAddr, fmt.Sprint("/v1/objects/put-", n%2), l.body)
			return l.rate(time.Since(began))
		},
		func() float64 { return l.rate(l.upload(b, m, place(fmt.Sprint("sdk-", n%2)))) })
	l.add(report.Compared(largeHeading, "PUT of "+l.what, "the SDK's uploader", "MB/s", samples[0], samples[1]).Judged(atLeast(0.85)))
}

// nowhere is a destination for a parallel download.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// cold is a GET of what no memory has, against the SDK's parallel downloader.
func (l large) cold(b *testing.B, how string, via func(addr string) string) {
	far := ""
	c := l.cluster(b, func(addr string) string { far = via(addr); return far })
	near, m := transfermanager.New(sdk(c.S3Addr())), transfermanager.New(sdk(far))
	n := 0
	next := func() string {
		n++
		name := fmt.Sprint("cold-", n)
		l.upload(b, near, place(name))
		return name
	}
	samples := turns(l.rounds,
		func() float64 {
			name := next()
			return l.rate(get(b, c.Nodes[n%3].HTTPAddr, "/v1/objects/"+name, l.size))
		},
		func() float64 {
			at := place(next())
			began := time.Now()
			if _, err := m.DownloadObject(context.Background(), &transfermanager.DownloadObjectInput{
				Bucket: aws.String(bucket), Key: at, WriterAt: nowhere{},
			}); err != nil {
				b.Fatal(err)
			}
			return l.rate(time.Since(began))
		})
	l.add(report.Compared(largeHeading, "GET of "+l.what+" cold"+how, "the SDK's downloader", "MB/s", samples[0], samples[1]).Judged(atLeast(0.9)))
}

// warm is a GET from the memory of the nodes, through a node that owns a third
// of the chunks, against a plain file server.
func (l large) warm(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "object"), l.body, 0o600); err != nil {
		b.Fatal(err)
	}
	files := l.rival(b, "files", "-dir", dir)
	c := l.cluster(b, nil)
	store(b, c.Nodes[0].HTTPAddr, "/v1/objects/warm", l.body)
	node := c.Nodes[1].HTTPAddr
	get(b, node, "/v1/objects/warm", l.size)
	samples := turns(l.rounds+2,
		func() float64 { return l.rate(get(b, node, "/v1/objects/warm", l.size)) },
		func() float64 { return l.rate(get(b, files, "/object", l.size)) })
	l.add(report.Compared(largeHeading, "GET of "+l.what+" from memory, any node", "a file server", "MB/s", samples[0], samples[1]).Judged(atLeast(0.5)))
}
