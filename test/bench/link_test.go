package bench

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// What a connection to an S3 in the same region is like: some tens of
// milliseconds to the first byte, and some 90 MB/s (Amazon's own guidance for
// S3, "Performance design patterns", says 85 to 90 MB/s for one connection).
const (
	linkDelay = 20 * time.Millisecond
	linkRate  = 90e6 // bytes a second
)

// link passes connections on to target, each as slow as one to a real S3, and
// returns the address to use in place of target.
func link(b *testing.B, target string) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var conns sync.WaitGroup
	b.Cleanup(func() { _ = l.Close() }) // connections end with the processes at their ends
	conns.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer server.Close()
				conns.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
				pace(client, server)
			})
		}
	})
	return l.Addr().String()
}

// piece is some bytes of an answer and when they are due at the other end.
type piece struct {
	bytes []byte
	due   time.Time
}

// pace copies answers, late and no faster than the link is.
func pace(to io.Writer, from io.Reader) {
	inFlight := make(chan piece, 64) // 4 MiB: more than the link holds
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(inFlight)
		var free time.Time // when the link has sent what came before
		for {
			buf := make([]byte, 64<<10)
			n, err := from.Read(buf)
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(float64(n) / linkRate * float64(time.Second)))
			inFlight <- piece{buf[:n], free.Add(linkDelay)}
			if err != nil {
				return
			}
		}
	})
	for p := range inFlight {
		time.Sleep(time.Until(p.due)) // the link is so slow
		if _, err := to.Write(p.bytes); err != nil {
			if c, ok := from.(io.Closer); ok {
				_ = c.Close()
			}
			for range inFlight { // until the reader sees that it is over
			}
			return
		}
	}
}
