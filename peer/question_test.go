package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestAskAnswers(t *testing.T) {
	nodes := startAll(t, 2)
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
	nodes := startAll(t, 2)
	if _, err := nodes[0].poolOf(nodes[1].self).Ask(t.Context(), Question{Route: "ok", Text: strings.Repeat("t", maxText+1)}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a text that is too long: %v", err)
	}
	if _, err := nodes[0].poolOf(nodes[1].self).Ask(t.Context(), Question{Route: "ok", Body: make([]byte, 11), Room: 10}); err == nil || !strings.Contains(err.Error(), "room for") {
		t.Errorf("an answer that is too long: %v", err)
	}
	for _, room := range []int64{0, -1, math.MinInt64} {
		if a, err := nodes[0].poolOf(nodes[1].self).Ask(t.Context(), Question{Route: "ok", Body: []byte("b"), Room: room}); err == nil {
			t.Errorf("took an answer of %d bytes where there is room for %d", len(a.Body), room)
		}
	}
	post(t, nodes[0], nodes[1].self)
}

// An answer may announce what it likes: a body beyond the room for it and a
// text beyond the longest are refused, and no memory is taken for a text that
// does not come.
func TestAnnouncedAnswers(t *testing.T) {
	n := start(t, "a")
	for name, c := range map[string]struct {
		text uint32
		body uint64
	}{
		"a text of 4 GiB":           {text: math.MaxUint32},
		"a text beyond the longest": {text: maxText + 1},
		"a body of a negative size": {body: math.MaxUint64},
		"a body beyond the room":    {body: 16<<20 + 1},
		"a text that does not come": {text: maxText},
	} {
		m := script(t, func(_ int, conn net.Conn) {
			hear(conn)
			head := binary.BigEndian.AppendUint32([]byte{0, 200}, c.text)
			_, _ = conn.Write(binary.BigEndian.AppendUint64(head, c.body))
		})
		if a, err := ask(t.Context(), n, m, Question{Once: true}); err == nil || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %d and %d bytes, %v", name, len(a.Text), len(a.Body), err)
		}
	}
}

// greedy notes how much it is to read at once before a given part has come.
type greedy struct {
	left, until, most int
}

func (g *greedy) Read(p []byte) (int, error) {
	if g.left > g.until {
		g.most = max(g.most, len(p))
	}
	if g.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), g.left)
	g.left -= n
	return n, nil
}

// Memory is taken for what has come, not for what is announced.
func TestBodiesAreReadInPieces(t *testing.T) {
	const size = 8 << 20
	g := &greedy{left: size, until: size - size/8}
	b, err := (Asked{Body: g, Size: size}).ReadBody(size)
	if err != nil || len(b) != size || g.most > size/8 {
		t.Errorf("%d bytes, %d at once, %v", len(b), g.most, err)
	}
	b, err = (Asked{Body: &greedy{left: 100}, Size: size}).ReadBody(size)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(b) > size/8 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := (Asked{Size: size}).ReadBody(size - 1); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	for _, n := range []int64{0, 1, firstPiece, firstPiece + 1} {
		if b, err := (Asked{Body: &greedy{left: int(n)}, Size: n}).ReadBody(n); err != nil || int64(len(b)) != n {
			t.Errorf("%d of %d bytes, %v", len(b), n, err)
		}
	}
}

// socket is the connection below.
func socket(conn net.Conn) *net.TCPConn {
	if c, ok := conn.(*encrypted); ok {
		conn = c.below.Conn
	}
	return conn.(*net.TCPConn)
}

// A long text is not sent for ever to who does not read it.
func TestNobodyReadsTheQuestion(t *testing.T) {
	n := start(t, "a")
	ended := make(chan struct{})
	m := script(t, func(_ int, conn net.Conn) {
		_ = socket(conn).SetReadBuffer(askBuffer)
		<-ended
	})
	defer close(ended)
	pool := n.poolOf(m)
	dial := pool.dial
	pool.dial = func(ctx context.Context) (*askConn, error) {
		conn, err := dial(ctx)
		if err == nil {
			err = socket(conn.Conn).SetWriteBuffer(askBuffer)
		}
		return conn, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*silence)
	defer cancel()
	if _, err := n.poolOf(m).Ask(ctx, Question{Text: strings.Repeat("t", maxText), Within: beat}); ctx.Err() != nil || !timedOut(err) {
		t.Error(err)
	}
}

// A body that is wanted as it arrives occupies its connection until it is
// closed; unless all of it has been read, the connection is not used again.
func TestArrivingAnswers(t *testing.T) {
	nodes := startAll(t, 2)
	asker, other := nodes[0], nodes[1].self
	post(t, asker, other)
	pool := asker.poolOf(other)
	kept := pool.idle[0]
	body := bytes.Repeat([]byte("larder"), 1<<18)
	arriving := func(body []byte) Answer {
		a, err := ask(t.Context(), asker, other, Question{Text: "t", Body: body, Arriving: true})
		if err != nil || a.Status != http.StatusOK || string(a.Text) != "t" || a.Size != int64(len(body)) || a.Body != nil {
			t.Fatalf("status %d, %q, %d bytes and %d to come, %v", a.Status, a.Text, len(a.Body), a.Size, err)
		}
		return a
	}
	if a := arriving(nil); a.Rest != nil || len(pool.idle) != 1 {
		t.Errorf("no body: %v, %d idle connections", a.Rest, len(pool.idle))
	}

	a := arriving(body)
	if len(pool.idle) != 0 {
		t.Error("the connection of a body that is still to be read can be taken")
	}
	got, err := io.ReadAll(a.Rest)
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_ = a.Rest.Close()
	_ = a.Rest.Close()
	if len(pool.idle) != 1 || pool.idle[0] != kept {
		t.Errorf("%d idle connections", len(pool.idle))
	}

	a = arriving(body)
	if _, err := io.ReadFull(a.Rest, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	_ = a.Rest.Close()
	if len(pool.idle) != 0 || len(pool.open) != 0 {
		t.Errorf("%d connections, %d idle, after half a body", len(pool.open), len(pool.idle))
	}
	post(t, asker, other)
}

// Half a body that arrives does not look like a whole one.
func TestHalfABodyArrives(t *testing.T) {
	n := start(t, "a")
	for name, end := range map[string]func(conn net.Conn, id string){
		"closed":    func(conn net.Conn, _ string) { _ = conn.Close() },
		"seen dead": func(_ net.Conn, id string) { n.poolOf(member{id: id}).End(errGone) },
	} {
		t.Run(name, func(t *testing.T) {
			taken, ended := make(chan struct{}), make(chan struct{})
			m := script(t, func(_ int, conn net.Conn) {
				hear(conn)
				_, _ = conn.Write(append(appendHead(nil, Answer{Status: http.StatusOK, Body: make([]byte, 8)}), "half"...))
				<-taken
				end(conn, "x "+conn.LocalAddr().String())
				<-ended
			})
			defer close(ended)
			a, err := ask(t.Context(), n, m, Question{Arriving: true})
			if err != nil {
				t.Fatal(err)
			}
			close(taken)
			if got, err := io.ReadAll(a.Rest); err == nil || string(got) != "half" {
				t.Errorf("%q, %v", got, err)
			}
			_ = a.Rest.Close()
		})
	}
}

// pretend makes n believe that a member is at that address.
func pretend(addr string) member {
	return member{id: "x " + addr, addr: addr}
}

// script is a member that does as it is told with each connection.
func script(t *testing.T, f func(i int, conn net.Conn)) member {
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
			if proven, _, err := testHandshake("x "+l.Addr().String(), "test", testSecret).server(conn); err == nil {
				f(i, proven)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return pretend(l.Addr().String())
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

// An answer that ends in the middle is none, and neither is one that stops when
// its member is seen dead.
func TestHalfAnAnswer(t *testing.T) {
	n := start(t, "a")
	for name, c := range map[string]struct {
		end  func(conn net.Conn, id string)
		gone bool
	}{
		"closed":    {func(conn net.Conn, _ string) { _ = conn.Close() }, false},
		"seen dead": {func(_ net.Conn, id string) { n.poolOf(member{id: id}).End(errGone) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			m := script(t, func(_ int, conn net.Conn) {
				hear(conn)
				_, _ = conn.Write(append(appendHead(nil, Answer{Status: http.StatusOK, Body: make([]byte, 8)}), "half"...))
				c.end(conn, "x "+conn.LocalAddr().String())
				<-ended
			})
			a, err := ask(t.Context(), n, m, Question{})
			close(ended)
			if err == nil || a.Body != nil || errors.Is(err, errGone) != c.gone || errors.Is(err, ErrUnreachable) {
				t.Errorf("%q, %v", a.Body, err)
			}
		})
	}
}
