package cluster

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// Strangers who keep connections to the gossip port open without a word lose the
// oldest, and leave room for who comes next.
func TestGossipStreamsAreBounded(t *testing.T) {
	sockets, err := bindGossip(&realNetwork{}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := newGossipTransport(sockets, net.IPv4(127, 0, 0, 1), zerolog.Nop())
	held := make(chan net.Conn, 2*maxStreams)
	t.Cleanup(func() {
		_ = transport.Shutdown()
		for len(held) > 0 {
			_ = (<-held).Close()
		}
	})
	var strangers []net.Conn
	for range maxStreams + 8 {
		c, err := net.Dial("tcp", sockets.addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		strangers = append(strangers, c)
		held <- <-transport.StreamCh() // as memberlist does, which then waits for a word
	}
	for i, c := range strangers {
		if i < 8 {
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the connection that came as number %d: %v", i, err)
			}
			continue
		}
		_ = c.SetReadDeadline(time.Now())
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection that came as number %d: %v", i, err)
		}
	}
	for range maxStreams {
		_ = (<-held).Close()
	}
	transport.mu.Lock()
	defer transport.mu.Unlock()
	if n := len(transport.inbound); n > 8 {
		t.Errorf("%d connections are counted after all but 8 were closed", n)
	}
}
