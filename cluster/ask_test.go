package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// ask asks one of the test's routes.
func ask(ctx context.Context, n node, m Member, q Question) (Answer, error) {
	if q.Route == "" {
		q.Route = "ok"
	}
	q.Room = 16 << 20
	return n.Ask(ctx, m, q)
}

func TestAskAnswers(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	for _, once := range []bool{false, true} {
		for _, size := range []int{0, 1, askBuffer, 1 << 20, 9 << 20} {
			body := bytes.Repeat([]byte("larder"), size/6+1)[:size]
			q := Question{Text: strings.Repeat("t", min(size, maxText)), Body: body, Once: once}
			a, err := ask(t.Context(), nodes[0], nodes[1].self, q)
			if err != nil || a.Status != http.StatusOK || string(a.Text) != q.Text || !bytes.Equal(a.Body, body) {
				t.Errorf("%d bytes: status %d, %d and %d bytes, %v", size, a.Status, len(a.Text), len(a.Body), err)
			}
		}
	}
}

func TestAskRefusesWhatIsTooLong(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	if _, err := nodes[0].Ask(t.Context(), nodes[1].self, Question{Route: "ok", Text: strings.Repeat("t", maxText+1)}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a text that is too long: %v", err)
	}
	if _, err := nodes[0].Ask(t.Context(), nodes[1].self, Question{Route: "ok", Body: make([]byte, 11), Room: 10}); err == nil || !strings.Contains(err.Error(), "room for") {
		t.Errorf("an answer that is too long: %v", err)
	}
	post(t, nodes[0], nodes[1].self)
}

// A long text is not sent for ever to who does not read it.
func TestNobodyReadsTheQuestion(t *testing.T) {
	n := start(t, "a")
	ended := make(chan struct{})
	m := script(t, n, func(_ int, conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(askBuffer)
		<-ended
	})
	defer close(ended)
	pool := n.poolOf(m.ID)
	dial := pool.dial
	pool.dial = func(ctx context.Context) (*askConn, error) {
		conn, err := dial(ctx)
		if err == nil {
			err = conn.Conn.(*net.TCPConn).SetWriteBuffer(askBuffer)
		}
		return conn, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*silence)
	defer cancel()
	if _, err := n.Ask(ctx, m, Question{Text: strings.Repeat("t", maxText), Within: beat}); ctx.Err() != nil || !timedOut(err) {
		t.Error(err)
	}
}

// An answer that does not want the question's body leaves the connection as good as before.
func TestUnreadBodies(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	for range 3 {
		a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "refuse", Body: make([]byte, 9<<20), Once: true})
		if err != nil || a.Status != http.StatusTeapot {
			t.Errorf("status %d, %v", a.Status, err)
		}
	}
	if n := len(nodes[0].poolOf(nodes[1].self.ID).open); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A connection on which nobody has asked for longer than an answer may take is as good as before.
func TestIdleConnectionOutlivesItsDeadline(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	post(t, nodes[0], nodes[1].self)
	pool := nodes[0].poolOf(nodes[1].self.ID)
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

// Who works long on an answer is waited for; who asks and leaves is not worked for.
func TestSignsOfLife(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	began := time.Now()
	if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "slow", Text: (silence + 2*beat).String()}); err != nil || string(a.Text) != "done" {
		t.Errorf("after %s: %q, %v", time.Since(began), a.Text, err)
	}
	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := ask(ctx, nodes[0], nodes[1].self, Question{Route: "hang"})
		failed <- err
	}()
	is := func(text string) {
		t.Helper()
		eventually(t, func() error {
			if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "hanging"}); err != nil || string(a.Text) != text {
				return fmt.Errorf("%s are asked, %w", a.Text, err)
			}
			return nil
		})
	}
	is("1")
	leave()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	is("0")
}

// Where a sign of life did not go out in whole, no answer follows: it would be taken for the rest of the sign. Nor does
// another question, whose answer would be given up before it is begun.
func TestNothingFollowsHalfASign(t *testing.T) {
	gaveUp := make(chan struct{})
	a := &answering{self: "self", log: testLog(), conns: map[*answerConn]struct{}{}, routes: map[string]Answerer{
		"hang": func(ctx context.Context, _ Asked) Answer {
			<-ctx.Done()
			close(gaveUp)
			return Answer{Status: http.StatusOK}
		},
	}}
	ours, theirs := net.Pipe() // which holds nothing that is not being read
	if err := ours.SetReadDeadline(time.Now().Add(2 * silence)); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		a.serve(t.Context(), theirs)
	}()
	question := append(newAskConn(nil, a.self, "asker").out, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'a', 'n', 'g')
	if _, err := ours.Write(question); err != nil {
		t.Fatal(err)
	}
	<-gaveUp
	if said, err := io.ReadAll(ours); err != nil || len(said) > 0 {
		t.Errorf("said %q, %v", said, err)
	}
	_ = ours.Close()
	<-served
}

// A panic in an answer is one question's, and no answer.
func TestPanicIsNoAnswer(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "panic"}); err == nil {
		t.Errorf("answered %d", a.Status)
	}
	if a, err := ask(t.Context(), nodes[0], nodes[1].self, Question{Route: "no such route"}); err == nil {
		t.Errorf("answered %d", a.Status)
	}
	post(t, nodes[0], nodes[1].self)
}

func TestAskerIsAMember(t *testing.T) {
	a := start(t, "a")
	askers := make(chan Member, 1)
	b := start(t, "b", joining(a), before(func(c *Cluster) {
		c.Answer("who", func(_ context.Context, asked Asked) Answer {
			m, ok := c.Member(asked.From)
			askers <- m
			if !ok {
				return Answer{Status: http.StatusForbidden}
			}
			return Answer{Status: http.StatusOK}
		})
	}))
	agree(t, a, b)
	tell := func() error { return a.Fanout(t.Context(), []Member{b.self}, "who", "")[0].Err }
	if err := tell(); err != nil {
		t.Error(err)
	}
	if m := <-askers; m != a.self {
		t.Errorf("the asker is %v", m)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *Refused
	if err := tell(); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("an asker that has left: %v", err)
	}
	if m := <-askers; m != (Member{}) {
		t.Errorf("the asker is %v", m)
	}
}

// pretend makes n believe that a member is at that address.
func pretend(n node, addr string) Member {
	m := Member{Name: "x", PeerAddr: addr, ID: "x " + addr}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[m.ID] = n.newRecord(m, "")
	return m
}

// script is a member that does as it is told with each connection.
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
				_, _ = io.ReadFull(conn, make([]byte, 2+len("x "+l.Addr().String())+len(n.self.ID))) // the greeting
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

// hear reads a question that has no body.
func hear(conn net.Conn) bool {
	head := make([]byte, questionHead)
	if _, err := io.ReadFull(conn, head); err != nil {
		return false
	}
	_, err := io.ReadFull(conn, make([]byte, int(head[0])+int(binary.BigEndian.Uint32(head[1:]))))
	return err == nil
}

func say(conn net.Conn, a Answer) {
	_, _ = conn.Write(append(append(appendHead(nil, a), a.Text...), a.Body...)) // the asker sees it
}

// What was never heard is told from what may have been.
func TestErrorsTellWhatMayHaveBeenHeard(t *testing.T) {
	n := start(t, "a")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := pretend(n, free.Addr().String())
	_ = free.Close()
	fine := Answer{Status: http.StatusOK}

	once := func(ctx context.Context, m Member) error {
		_, err := ask(ctx, n, m, Question{Text: "x", Once: true})
		return err
	}
	t.Run("nobody listens", func(t *testing.T) {
		if err := once(t.Context(), nobody); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("no such member", func(t *testing.T) {
		if err := once(t.Context(), Member{Name: "y", PeerAddr: nobody.PeerAddr, ID: "y"}); !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrMemberGone) {
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
	t.Run("another process", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) {
			hear(conn)
			say(conn, Answer{Status: statusOther})
		})
		if err := once(t.Context(), m); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("another process, and a long body", func(t *testing.T) {
		m := pretend(n, start(t, "b").self.PeerAddr)
		if _, err := ask(t.Context(), n, m, Question{Body: make([]byte, 9<<20), Once: true}); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("closed on the question", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) { hear(conn) })
		if err := once(t.Context(), m); err == nil || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("heard, and then nobody listens", func(t *testing.T) {
		closed := make(chan struct{})
		m := script(t, n, func(i int, conn net.Conn) {
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
		dial := n.poolOf(m.ID).dial
		n.poolOf(m.ID).dial = func(context.Context) (*askConn, error) { return nil, errors.New("refused") }
		defer func() { n.poolOf(m.ID).dial = dial }()
		close(closed)
		if _, err := ask(t.Context(), n, m, Question{}); err == nil || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	})
	t.Run("closed after an answer", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) {
			hear(conn)
			say(conn, fine)
		})
		if err := once(t.Context(), m); err != nil {
			t.Error(err)
		}
		pool := n.poolOf(m.ID)
		eventually(t, func() error {
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
		m := script(t, n, func(i int, conn net.Conn) {
			hear(conn)
			heard <- i
			say(conn, fine)
			if i == 0 {
				hear(conn) // and closes on it: the connection was good until then
				heard <- i
			}
		})
		for range 2 {
			if err := n.Fanout(t.Context(), []Member{m}, "ok", "x")[0].Err; err != nil {
				t.Error(err)
			}
		}
		if got := fmt.Sprint(<-heard, <-heard, <-heard); got != "0 0 1" {
			t.Errorf("heard on the connections %s", got)
		}
	})
	t.Run("what may not is not", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) {
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
		m := script(t, n, func(_ int, conn net.Conn) {
			hear(conn)
			_, _ = conn.Write(append(appendHead(nil, fine), appendHead(nil, Answer{Status: http.StatusTeapot})...))
		})
		for range 2 {
			if a, err := ask(t.Context(), n, m, Question{}); err != nil || a.Status != http.StatusOK {
				t.Errorf("status %d, %v", a.Status, err)
			}
		}
	})
	t.Run("a refusal is shown", func(t *testing.T) {
		m := script(t, n, func(_ int, conn net.Conn) {
			hear(conn)
			say(conn, Answer{Status: http.StatusServiceUnavailable, Text: []byte("busy")})
		})
		if err := n.Fanout(t.Context(), []Member{m}, "ok", "")[0].Err; err == nil || !strings.Contains(err.Error(), "busy") {
			t.Error(err)
		}
	})
}

// An answer that ends in the middle is none, and neither is one that stops when its member is seen dead.
func TestHalfAnAnswer(t *testing.T) {
	n := start(t, "a")
	for name, c := range map[string]struct {
		end  func(conn net.Conn, id string)
		gone bool
	}{
		"closed":    {func(conn net.Conn, _ string) { _ = conn.Close() }, false},
		"seen dead": {func(_ net.Conn, id string) { n.dead(id) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			m := script(t, n, func(_ int, conn net.Conn) {
				hear(conn)
				_, _ = conn.Write(append(appendHead(nil, Answer{Status: http.StatusOK, Body: make([]byte, 8)}), "half"...))
				c.end(conn, "x "+conn.LocalAddr().String())
				<-ended
			})
			a, err := ask(t.Context(), n, m, Question{})
			close(ended)
			if err == nil || a.Body != nil || errors.Is(err, ErrMemberGone) != c.gone || errors.Is(err, ErrUnreachable) {
				t.Errorf("%q, %v", a.Body, err)
			}
		})
	}
}

// Connections that nobody asks on are closed, and so are those to a member that said goodbye.
func TestIdleConnectionsAreClosed(t *testing.T) {
	nodes := startAll(t, 2, before(serveTestRoutes))
	post(t, nodes[0], nodes[1].self)
	pool := nodes[0].poolOf(nodes[1].self.ID)
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
	pool.retire()
	if count() != 0 {
		t.Error("kept one to a member that said goodbye")
	}
	post(t, nodes[0], nodes[1].self) // which still answers
	if count() != 0 {
		t.Error("kept one afterwards")
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

// FuzzQuestions holds that nothing that a member can send makes a node panic, or answer what it was not asked.
func FuzzQuestions(f *testing.F) {
	question := func(to string) []byte {
		c := newAskConn(nil, to, "asker")
		return append(c.out, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 'o', 'k', 't', 'b')
	}
	f.Add(question("self"))
	f.Add(question("other"))
	f.Add(append(question("self"), 0xff, 0xff, 0xff))
	f.Add([]byte{255, 255})
	f.Fuzz(func(t *testing.T, sent []byte) {
		a := &answering{self: "self", log: testLog(), conns: map[*answerConn]struct{}{}, routes: map[string]Answerer{
			"ok": func(_ context.Context, asked Asked) Answer {
				body, err := io.ReadAll(asked.Body)
				if err == nil && int64(len(body)) != asked.Size {
					t.Errorf("%d of %d bytes of a body", len(body), asked.Size)
				}
				return Answer{Status: http.StatusNoContent}
			},
		}}
		ours, theirs := net.Pipe()
		said := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(ours)
			said <- all
		}()
		go func() {
			_, _ = ours.Write(sent)
			_ = ours.Close()
		}()
		a.serve(t.Context(), theirs)
		if all := <-said; len(all)%answerHead != 0 {
			t.Errorf("said %q", all)
		}
		if len(a.conns) > 0 {
			t.Error("a connection is left")
		}
	})
}

// A node that stops waits for answers, and not for ever.
func TestEnded(t *testing.T) {
	var wg sync.WaitGroup
	resume := make(chan struct{})
	wg.Go(func() { <-resume })
	if ended(&wg, time.Millisecond) {
		t.Error("ended before it had")
	}
	close(resume)
	if !ended(&wg, 10*time.Second) {
		t.Error("had not ended")
	}
}
