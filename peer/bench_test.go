package peer

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
)

// BenchmarkAsk is an answer of some size, in the open and encrypted. Beside the time
// it tells what both ends take of a processor, which other work on the machine does
// not change.
func BenchmarkAsk(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20, 8 << 20} {
		for _, encrypt := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/encrypted=%v", size>>10, encrypt), func(b *testing.B) { benchmarkAsk(b, size, encrypt) })
		}
	}
}

func benchmarkAsk(b *testing.B, size int, encrypt bool) {
	body := bytes.Repeat([]byte{'x'}, size)
	owner := start(b, "owner", func(p *Port) {
		p.Handle("body", func(context.Context, Asked) Answer { return Answer{Status: http.StatusOK, Body: body} })
	})
	pool := start(b, "asker").Pool(owner.self.id, owner.self.addr, encrypt)
	defer pool.End(errGone)
	ask := func() {
		if _, err := pool.Ask(context.Background(), Question{Route: "body", Room: 16 << 20}); err != nil {
			b.Fatal(err)
		}
	}
	ask() // makes the connection
	b.SetBytes(int64(size))
	b.ReportAllocs()
	before := processor(b)
	b.ResetTimer()
	for range b.N {
		ask()
	}
	b.ReportMetric(float64(processor(b)-before)/float64(b.N), "cpu-ns/op")
}

// processor is the time in nanoseconds that this process has run.
func processor(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
