package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// oneShot is a body that cannot be had again.
type oneShot struct{ io.Reader }

func TestDoAnswers(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	body := bytes.Repeat([]byte("larder"), 200_000)
	req, err := http.NewRequest(http.MethodPost, "/ok?x=1", oneShot{bytes.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := nodes[0].Do(t.Context(), nodes[1].self, req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestSenderIsAMember(t *testing.T) {
	a := start(t, "a")
	senders := make(chan Member, 1)
	b := start(t, "b", joining(a), before(func(c *Cluster) {
		c.Handle("POST /who", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m, ok := c.Sender(r)
			if !ok {
				w.WriteHeader(http.StatusForbidden)
			}
			senders <- m
		}))
	}))
	agree(t, a, b)
	ask := func() error { return a.Fanout(t.Context(), []Member{b.self}, "/who", nil)[0].Err }
	if err := ask(); err != nil {
		t.Error(err)
	}
	if m := <-senders; m != a.self {
		t.Errorf("sender is %v", m)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a sender that has left: %v", err)
	}
	if m := <-senders; m != (Member{}) {
		t.Errorf("sender is %v", m)
	}
}

// pretend makes n believe that a member is at that address.
func pretend(n node, addr string) Member {
	m := Member{Name: "x", PeerAddr: addr, ID: "x " + addr}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[m.ID] = newRecord(m, "")
	return m
}

// script is a server that holds the secret and does as it is told with each connection.
func script(t *testing.T, n node, f func(i int, conn net.Conn)) Member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := n.handshake.server(conn); err == nil {
				f(i, conn)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return pretend(n, l.Addr().String())
}

func readRequest(conn net.Conn) {
	head := make([]byte, 0, 4096)
	buf := make([]byte, 1024)
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		k, err := conn.Read(buf)
		if err != nil {
			return
		}
		head = append(head, buf[:k]...)
	}
}

// What was never sent is told from what may have been carried out.
func TestErrorsTellWhatMayHaveHappened(t *testing.T) {
	n := start(t, "a")
	const answer = "HTTP/1.1 204 No Content\r\n\r\n"
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := pretend(n, free.Addr().String())
	_ = free.Close()

	do := func(ctx context.Context, m Member) error {
		req, err := http.NewRequest(http.MethodPost, "/ok", oneShot{strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := n.Do(ctx, m, req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	t.Run("nobody listens", func(t *testing.T) {
		if err := do(t.Context(), nobody); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("no such member", func(t *testing.T) {
		if err := do(t.Context(), Member{Name: "y", PeerAddr: nobody.PeerAddr, ID: "y"}); !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrMemberGone) {
			t.Error(err)
		}
	})
	t.Run("context ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := do(ctx, nobody); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("closed on the request", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) { readRequest(conn) })
		if err := do(t.Context(), m); err == nil || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("closed after an answer", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) {
			readRequest(conn)
			_, _ = conn.Write([]byte(answer))
		})
		for range 20 { // the client may or may not have seen the close when it sends again
			err := do(t.Context(), m)
			known := err == nil || errors.Is(err, ErrUnreachable)
			for _, broken := range []string{"server closed idle", "reset", "broken pipe", "EOF", "closed network connection"} {
				known = known || strings.Contains(err.Error(), broken)
			}
			if !known {
				t.Error(err)
			}
		}
	})
	t.Run("a fan-out is repeated on a new connection", func(t *testing.T) {
		m := script(t, n, func(i int, conn net.Conn) {
			readRequest(conn)
			if i == 0 {
				_, _ = conn.Write([]byte(answer))
				readRequest(conn) // and closes on it: the connection was good until then
				return
			}
			_, _ = conn.Write([]byte(answer))
		})
		for range 2 {
			if err := n.Fanout(t.Context(), []Member{m}, "/ok", []byte("x"))[0].Err; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a refusal is shown", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) {
			readRequest(conn)
			_, _ = conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"))
		})
		if err := n.Fanout(t.Context(), []Member{m}, "/ok", nil)[0].Err; err == nil || !strings.Contains(err.Error(), "busy") {
			t.Error(err)
		}
	})
}

// A broken connection that took nothing of a request is no reason to doubt: net/http cannot repeat the request, for
// its body is gone, but it was surely not sent.
func TestSentTraceCountsWhatWasWritten(t *testing.T) {
	var s sentTrace
	conn := &peerConn{}
	s.given = append(s.given, givenConn{conn: conn})
	if s.possibly(false) {
		t.Error("nothing was written")
	}
	if !s.possibly(true) {
		t.Error("a request that was given up may be written any moment")
	}
	conn.writes.Add(1)
	if !s.possibly(false) {
		t.Error("something was written")
	}
}

func TestRunTwice(t *testing.T) {
	n := start(t, "a")
	eventually(t, func() error {
		if !n.started.Load() {
			return errors.New("not started")
		}
		return nil
	})
	if err := n.Run(t.Context()); err == nil {
		t.Error("ran twice")
	}
}
