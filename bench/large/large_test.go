// Package large measures large objects beside the SDK's own transfer manager to
// the same S3, and beside a plain file server. A and B take turns in one run.
//
//	go test ./bench/large -run '^$' -bench . -benchtime 3x -timeout 30m
//
// LARDER_BENCH_SIZE is the size of an object in bytes, 1 GiB by default. Each
// benchmark reports the throughput of Larder over that of the other.
package large

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"larder/testcluster"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

func size(b *testing.B) int64 {
	s := os.Getenv("LARDER_BENCH_SIZE")
	if s == "" {
		return 1 << 30
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// object makes incompressible bytes.
func object(n int64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

func sdk(addr string) *transfermanager.Client {
	return transfermanager.New(s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(testcluster.AccessKey, testcluster.SecretKey, ""),
	}))
}

// sink takes everything, in large pieces.
type sink struct{ buf []byte }

func (s *sink) drain(b *testing.B, r io.Reader, want int64) {
	b.Helper()
	var total int64
	for {
		n, err := r.Read(s.buf)
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if total != want {
		b.Fatalf("%d bytes of %d", total, want)
	}
}

func get(b *testing.B, s *sink, url string, want int64) time.Duration {
	b.Helper()
	began := time.Now()
	resp, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
	s.drain(b, resp.Body, want)
	return time.Since(began)
}

func put(b *testing.B, url string, body []byte) time.Duration {
	b.Helper()
	began := time.Now()
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		b.Fatal(resp.Status)
	}
	return time.Since(began)
}

func upload(b *testing.B, m *transfermanager.Client, key string, body []byte) time.Duration {
	b.Helper()
	began := time.Now()
	if _, err := m.UploadObject(context.Background(), &transfermanager.UploadObjectInput{
		Bucket: aws.String("larder"), Key: aws.String(key), Body: bytes.NewReader(body),
	}); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// nowhere is a destination for a parallel download.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// ratio reports how much faster Larder was, by medians.
func ratio(b *testing.B, other, larder []time.Duration, bytes int64) {
	slices.Sort(other)
	slices.Sort(larder)
	o, l := other[len(other)/2], larder[len(larder)/2]
	b.ReportMetric(float64(o)/float64(l), "ratio")
	b.ReportMetric(float64(bytes)/1e6/l.Seconds(), "larder-MB/s")
	b.ReportMetric(float64(bytes)/1e6/o.Seconds(), "other-MB/s")
}

// BenchmarkPut is a PUT against the SDK's uploader.
func BenchmarkPut(b *testing.B) {
	n := size(b)
	body := object(n)
	c := testcluster.New(b, testcluster.Options{Nodes: 3, Flags: []string{"--memory", "2GiB"}})
	m := sdk(c.S3Addr())
	var other, larder []time.Duration
	for i := 0; b.Loop(); i++ {
		other = append(other, upload(b, m, fmt.Sprint("sdk/", i%2), body))
		larder = append(larder, put(b, c.Nodes[i%3].URL()+fmt.Sprint("/v1/objects/", i%2), body))
	}
	ratio(b, other, larder, n)
}

// BenchmarkGetCold is a GET of what no memory has, against the SDK's parallel
// downloader of the same object: through the loopback itself, where the limit is
// the machine's processors, and through connections as slow as those to a real
// S3, where it is how well each keeps several of them busy.
func BenchmarkGetCold(b *testing.B) {
	b.Run("loopback", func(b *testing.B) { getCold(b, func(addr string) string { return addr }) })
	b.Run("network", func(b *testing.B) { getCold(b, func(addr string) string { return link(b, addr) }) })
}

func getCold(b *testing.B, via func(addr string) string) {
	n := size(b)
	body := object(n)
	var far string
	c := testcluster.New(b, testcluster.Options{
		Nodes: 3, Flags: []string{"--memory", "2GiB"},
		S3Via: func(addr string) string { far = via(addr); return far },
	})
	near, m := sdk(c.S3Addr()), sdk(far)
	s := &sink{make([]byte, 1<<20)}
	var other, larder []time.Duration
	for i := 0; b.Loop(); i++ {
		key := fmt.Sprint("cold-", i)
		upload(b, near, "v1/default/objects/"+key, body)
		download := func() {
			began := time.Now()
			if _, err := m.DownloadObject(context.Background(), &transfermanager.DownloadObjectInput{
				Bucket: aws.String("larder"), Key: aws.String("v1/default/objects/" + key), WriterAt: nowhere{},
			}); err != nil {
				b.Fatal(err)
			}
			other = append(other, time.Since(began))
		}
		if i%2 == 0 {
			download()
		}
		larder = append(larder, get(b, s, c.Nodes[i%3].URL()+"/v1/objects/"+key, n))
		if i%2 == 1 {
			download()
		}
	}
	ratio(b, other, larder, n)
}

// BenchmarkGetWarm is a GET from the memory of the nodes, through a node that
// owns a third of the chunks, against a plain file server.
func BenchmarkGetWarm(b *testing.B) {
	n := size(b)
	body := object(n)
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "object"), body, 0o600); err != nil {
		b.Fatal(err)
	}
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer files.Close()
	c := testcluster.New(b, testcluster.Options{Nodes: 3, Flags: []string{"--memory", "2GiB"}})
	put(b, c.Nodes[0].URL()+"/v1/objects/warm", body)
	s := &sink{make([]byte, 1<<20)}
	url := c.Nodes[1].URL() + "/v1/objects/warm"
	get(b, s, url, n)
	var other, larder []time.Duration
	for b.Loop() {
		other = append(other, get(b, s, files.URL+"/object", n))
		larder = append(larder, get(b, s, url, n))
	}
	ratio(b, other, larder, n)
}
