package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"larder/test/testcluster"
)

// A connection on which nobody has asked for longer than an answer may take is
// as good as before.
func TestIdleConnectionOutlivesItsDeadline(t *testing.T) {
	nodes := startAll(t, 2)
	post(t, nodes[0], nodes[1].self)
	pool := nodes[0].poolOf(nodes[1].self)
	kept := pool.idle[0]
	if err := kept.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Once: true}); err != nil {
		t.Error(err)
	}
	if pool.idle[0] != kept {
		t.Error("a new connection took its place")
	}
}

// What was never heard is told from what may have been.
func TestErrorsTellWhatMayHaveBeenHeard(t *testing.T) {
	n := start(t, "a")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := pretend(free.Addr().String())
	_ = free.Close()
	fine := Answer{Status: http.StatusOK}

	once := func(ctx context.Context, m member) error {
		_, err := ask(ctx, n, m, Question{Text: "x", Once: true})
		return err
	}
	t.Run("nobody listens", func(t *testing.T) {
		if err := once(t.Context(), nobody); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("a member that is gone", func(t *testing.T) {
		gone := member{id: "y", addr: nobody.addr}
		n.poolOf(gone).End(errGone)
		if err := once(t.Context(), gone); !errors.Is(err, ErrUnreachable) || !errors.Is(err, errGone) {
			t.Error(err)
		}
	})
	t.Run("context ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := once(ctx, nobody); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("another process, and a long body", func(t *testing.T) {
		m := pretend(start(t, "b").self.addr)
		if _, err := ask(t.Context(), n, m, Question{Body: make([]byte, 9<<20), Once: true}); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("closed on the question", func(t *testing.T) {
		m := script(t, func(_ int, conn net.Conn) { hear(conn) })
		if err := once(t.Context(), m); err == nil || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("heard, and then nobody listens", func(t *testing.T) {
		closed := make(chan struct{})
		m := script(t, func(i int, conn net.Conn) {
			if i > 0 {
				return
			}
			hear(conn)
			say(conn, fine)
			hear(conn)
			<-closed
		})
		if err := once(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		dial := n.poolOf(m).dial
		n.poolOf(m).dial = func(context.Context) (*askConn, error) { return nil, errors.New("refused") }
		defer func() { n.poolOf(m).dial = dial }()
		close(closed)
		if _, err := ask(t.Context(), n, m, Question{}); err == nil || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("closed after an answer", func(t *testing.T) {
		m := script(t, func(_ int, conn net.Conn) {
			hear(conn)
			say(conn, fine)
		})
		if err := once(t.Context(), m); err != nil {
			t.Error(err)
		}
		pool := n.poolOf(m)
		testcluster.Soon(t, func() error {
			if pool.idle[0].alive() {
				return errors.New("the end has not arrived")
			}
			return nil
		})
		if err := once(t.Context(), m); err != nil {
			t.Error(err)
		}
		if len(pool.open) != 1 {
			t.Errorf("%d connections", len(pool.open))
		}
	})
	t.Run("what may be heard twice is repeated on a new connection", func(t *testing.T) {
		heard := make(chan int, 3)
		m := script(t, func(i int, conn net.Conn) {
			hear(conn)
			heard <- i
			say(conn, fine)
			if i == 0 {
				hear(conn) // and closes on it: the connection was good until then
				heard <- i
			}
		})
		for range 2 {
			if _, err := ask(t.Context(), n, m, Question{}); err != nil {
				t.Error(err)
			}
		}
		if got := fmt.Sprint(<-heard, <-heard, <-heard); got != "0 0 1" {
			t.Errorf("heard on the connections %s", got)
		}
	})
	t.Run("what may not is not", func(t *testing.T) {
		m := script(t, func(_ int, conn net.Conn) {
			hear(conn)
			say(conn, fine)
			hear(conn)
		})
		if err := once(t.Context(), m); err != nil {
			t.Error(err)
		}
		if err := once(t.Context(), m); err == nil || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("what follows an answer is not the next one", func(t *testing.T) {
		m := script(t, func(_ int, conn net.Conn) {
			hear(conn)
			_, _ = conn.Write(append(appendHead(nil, fine), appendHead(nil, Answer{Status: http.StatusTeapot})...))
		})
		for range 2 {
			if a, err := ask(t.Context(), n, m, Question{}); err != nil || a.Status != http.StatusOK {
				t.Errorf("status %d, %v", a.Status, err)
			}
		}
	})
}

// Connections that nobody asks on are closed, and so are those to a member that
// said goodbye.
func TestIdleConnectionsAreClosed(t *testing.T) {
	nodes := startAll(t, 2)
	post(t, nodes[0], nodes[1].self)
	pool := nodes[0].poolOf(nodes[1].self)
	count := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.open)
	}
	pool.closeIdle()
	if count() != 1 {
		t.Error("closed one that was used just now")
	}
	pool.mu.Lock()
	pool.idle[0].since = time.Now().Add(-askerIdleTimeout)
	pool.mu.Unlock()
	pool.closeIdle()
	if count() != 0 {
		t.Error("kept one that nobody used")
	}
	post(t, nodes[0], nodes[1].self)
	pool.Retire()
	if count() != 0 {
		t.Error("kept one to a member that said goodbye")
	}
	post(t, nodes[0], nodes[1].self) // which still answers
	if count() != 0 {
		t.Error("kept one afterwards")
	}
}

// TestALateAnswerIsNobodyElses: a connection whose question was given up is not kept, or the
// answer that comes after all would be read as that of the next.
func TestALateAnswerIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go func() { _, _ = io.Copy(io.Discard, far) }() // ends with near
		p := newPool(nil)
		if a, _, err := p.askOn(t.Context(), newAskConn(near), Question{Route: "r", Within: time.Second}, time.Now()); !timedOut(err) {
			t.Errorf("%+v, %v", a, err)
		}
		if len(p.idle) > 0 {
			t.Error("the connection is kept")
		}
	})
}
