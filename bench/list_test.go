package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"larder/bench/report"
	"larder/testcluster"
)

// manyRow is what needs 100,000 objects: a listing of 4 of them, and what a
// node's memory spends on each beyond its bytes.
func manyRow(b *testing.B, s *bench) {
	const size = 1 << 10
	many := 100_000
	if s.report.Short {
		many = 10_000
	}
	c := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "1GiB"}})
	node := c.Nodes[0]
	for i := range 4 {
		store(b, node.HTTPAddr, fmt.Sprint("/v1/objects/AAPL-", i), body(size))
	}
	before := liveHeap(b, node)
	fill(b, node.HTTPAddr, many-4, size)
	chunks := metric(b, node, "larder_memory_chunks", nil)
	each := (liveHeap(b, node) - before) / (chunks - 4)
	direct := sdk(c.S3Addr())
	m := batches(s.rounds, 3,
		func() float64 { return milliseconds(listNode(b, node, "AAPL-", 4)) },
		func() float64 { return milliseconds(listSDK(b, direct, "AAPL-", 4)) })
	s.add(
		report.Compared("List of 4 keys by prefix", fmt.Sprintf("among %d", many), "SDK ListObjectsV2", "ms", m[0], m[1]).Judged(atMost(1.1)),
		report.Measured("Memory beyond the bytes of a cached object", "1 KiB, head and chunk", "bytes", each-size).
			Noted(fmt.Sprintf("by the live heap, over %.0f objects", chunks)),
	)
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
