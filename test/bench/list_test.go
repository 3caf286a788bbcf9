package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// listRow is a listing of 4 keys among many.
func listRow(b *testing.B, s *bench) {
	const many = 100_000
	c := testcluster.New(b, testcluster.Options{Nodes: 1})
	for i := range 4 {
		store(b, c.Nodes[0].HTTPAddr, fmt.Sprint("/v1/objects/AAPL-", i), body(10))
	}
	// The others come by other means, which is quicker: the embedded S3 keeps files.
	folder := filepath.Join(c.Dir, "s3-data", bucket, filepath.Dir(*place("x")))
	for i := range many - 4 {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprint("STRATEGY-", i)), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	direct := sdk(c.S3Addr())
	m := batches(s.rounds, 3,
		func() float64 { return milliseconds(listNode(b, c.Nodes[0], "AAPL-", 4)) },
		func() float64 { return milliseconds(listSDK(b, direct, "AAPL-", 4)) })
	s.add(report.Compared("List of 4 keys by prefix", "among 100,000", "SDK ListObjectsV2", "ms", m[0], m[1]).Judged(atMost(1.1)))
}

// overheadRow is what a node's memory spends on a small object beyond its bytes.
func overheadRow(b *testing.B, s *bench) {
	const size, many = 1 << 10, 20_000
	node := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "512MiB"}}).Nodes[0]
	fill(b, node.HTTPAddr, 100, size) // connections and buffers are there
	before := liveHeap(b, node)
	fill(b, node.HTTPAddr, many, size)
	chunks := metric(b, node, "larder_memory_chunks", nil)
	each := (liveHeap(b, node) - before) / (chunks - 100)
	s.add(report.Measured("Memory per cached object beyond its bytes", "1 KiB: chunk, head and both keys", "bytes", each-size).
		Noted(fmt.Sprintf("by the live heap, over %.0f objects", chunks)))
}

func listNode(b *testing.B, n *testcluster.Node, prefix string, want int) time.Duration {
	b.Helper()
	began := time.Now()
	resp, err := http.Get(n.URL() + "/v1/objects?prefix=" + prefix)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct{ Keys []struct{ Key string } }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || len(page.Keys) != want {
		b.Fatalf("%s with %d keys, %v", resp.Status, len(page.Keys), err)
	}
	return time.Since(began)
}

func listSDK(b *testing.B, c *s3.Client, prefix string, want int) time.Duration {
	b.Helper()
	began := time.Now()
	out, err := c.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: place(prefix)})
	if err != nil || len(out.Contents) != want {
		b.Fatalf("list: %v", err)
	}
	return time.Since(began)
}

// liveHeap is what is left of a node's heap after a collection.
func liveHeap(b *testing.B, n *testcluster.Node) float64 {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, n.AdminURL()+"/debug/pprof/heap?gc=1", nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := ask(req, http.StatusOK); err != nil {
		b.Fatal(err)
	}
	return metric(b, n, "go_memstats_heap_alloc_bytes", nil)
}
