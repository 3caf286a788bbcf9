package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"larder/test/testcluster"
)

func BenchmarkOwner(b *testing.B) {
	for _, n := range []int{3, 10, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			members := namedMembers(n)
			c := &Cluster{}
			c.ring.Store(newRing(1, members[0], recordsOf(members...)))
			hash := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				hash *= 0x9e3779b97f4a7c15
				c.Owner(hash)
			}
		})
	}
}

// running runs n nodes for a benchmark.
func running(b *testing.B, n int, routes func(*Cluster)) []*Cluster {
	b.Helper()
	var nodes []*Cluster
	for i := range n {
		cfg := Config{Name: fmt.Sprint("node-", i), GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Secrets: mustSecrets(b, testSecret), Log: testcluster.Logger()}
		if i > 0 {
			cfg.Join = []string{nodes[0].sockets.addr().String()}
		}
		c, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		routes(c)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		b.Cleanup(func() {
			cancel()
			<-done
		})
		nodes = append(nodes, c)
	}
	testcluster.Holds(b, "the nodes have met", func() bool {
		return !slices.ContainsFunc(nodes, func(c *Cluster) bool { return len(c.Members()) != n })
	})
	return nodes
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			value := bytes.Repeat([]byte{7}, size)
			nodes := running(b, 2, func(c *Cluster) {
				c.Handle("value", func(context.Context, Asked) Answer { return Answer{Status: http.StatusOK, Body: value} })
			})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := nodes[0].Ask(b.Context(), nodes[1].Self(), Question{Route: "value", Room: int64(size)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{3, 10, 30} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			nodes := running(b, n, func(c *Cluster) {
				c.Handle("ok", func(context.Context, Asked) Answer { return Answer{Status: http.StatusNoContent} })
			})
			var others []Member
			for _, c := range nodes[1:] {
				others = append(others, c.Self())
			}
			text := strings.Repeat("x", 200)
			for b.Loop() {
				for _, ack := range nodes[0].Fanout(b.Context(), others, "ok", text) {
					if ack.Err != nil {
						b.Fatal(ack.Err)
					}
				}
			}
		})
	}
}
