package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
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
		cfg := Config{Name: fmt.Sprint("node-", i), GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Secrets: mustSecrets(b, testSecret), Log: testLog()}
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
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		met := 0
		for _, c := range nodes {
			if len(c.Members()) == n {
				met++
			}
		}
		if met == n {
			return nodes
		}
		if time.Now().After(deadline) {
			b.Fatal("the nodes do not meet")
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			value := bytes.Repeat([]byte{7}, size)
			nodes := running(b, 2, func(c *Cluster) {
				c.Handle("GET /value", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(size))
					_, _ = w.Write(value)
				}))
			})
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				req, err := http.NewRequest(http.MethodGet, "/value", nil)
				if err != nil {
					b.Fatal(err)
				}
				resp, err := nodes[0].Do(b.Context(), nodes[1].Self(), req)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(resp.Body, buf); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

func BenchmarkFanout(b *testing.B) {
	for _, n := range []int{3, 10, 30} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			nodes := running(b, n, func(c *Cluster) {
				c.Handle("POST /ok", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
			})
			var others []Member
			for _, c := range nodes[1:] {
				others = append(others, c.Self())
			}
			body := make([]byte, 200)
			for b.Loop() {
				for _, ack := range nodes[0].Fanout(b.Context(), others, "/ok", body) {
					if ack.Err != nil {
						b.Fatal(ack.Err)
					}
				}
			}
		})
	}
}
