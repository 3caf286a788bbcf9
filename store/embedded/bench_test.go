package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/store"
	"larder/store/embedded"
)

func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		server, err := embedded.New(embedded.Config{Dir: dir, Log: zerolog.Nop()})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		if err := server.Ready(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 256 << 10} {
		for _, writers := range []int{1, 32} {
			b.Run(fmt.Sprintf("bytes=%d/writers=%d", size, writers), func(b *testing.B) {
				s := start(b, embedded.Config{Dir: b.TempDir()})
				body := make([]byte, size)
				var next atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				for range writers {
					all.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if _, err := s.Put(b.Context(), fmt.Sprintf("v1/a/objects/%d", n), store.Write{Body: body}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.Elapsed().Microseconds())*float64(writers)/float64(b.N), "µs/put")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := start(b, embedded.Config{Dir: b.TempDir()})
			if _, err := s.Put(b.Context(), "a", store.Write{Body: make([]byte, size)}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := s.Get(b.Context(), "a", 8<<20, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkList lists 4 of 100,000 objects by their prefix.
func BenchmarkList(b *testing.B) {
	const objects = 100_000
	dir := b.TempDir()
	folder := filepath.Join(dir, "larder", "v1", "acme", "strategies")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		b.Fatal(err)
	}
	for n := range objects {
		name := fmt.Sprintf("STRATEGY %06d|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e", n)
		if n < 4 {
			name = fmt.Sprintf("AAPL REINV %d", n)
		}
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	s := start(b, embedded.Config{Dir: dir})
	b.Run("4 by prefix", func(b *testing.B) {
		for b.Loop() {
			entries, more, err := s.List(b.Context(), "v1/acme/strategies/AAPL", "", 1000)
			if err != nil || more || len(entries) != 4 {
				b.Fatal(len(entries), more, err)
			}
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			after, n, begun := "", 0, time.Now()
			for more := true; more; {
				var entries []store.Entry
				var err error
				entries, more, err = s.List(b.Context(), "v1/acme/strategies/", after, 1000)
				if err != nil {
					b.Fatal(err)
				}
				n += len(entries)
				after = entries[len(entries)-1].Name
			}
			if n != objects {
				b.Fatalf("%d listed after %s", n, time.Since(begun))
			}
		}
	})
}
