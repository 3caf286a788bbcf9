package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// moved counts what a client has taken.
type moved struct{ bytes, most atomic.Int64 }

func (m *moved) IsWatched() bool { return true }

func (m *moved) Moved(n int) {
	m.bytes.Add(int64(n))
	m.most.Store(max(m.most.Load(), int64(n)))
}

// A client that takes nothing is cut off from outside, and what others take is
// counted as they take it.
func TestRecorderIsCut(t *testing.T) {
	rec := make(chan *recorder, 1)
	ended := make(chan error, 1)
	var m moved
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r := &recorder{ResponseWriter: w, last: new(atomic.Bool), taker: &m}
		_, _ = r.Write(make([]byte, 1000))
		rec <- r
		_, err := r.Write(make([]byte, 64<<20)) // more than the kernel takes
		ended <- err
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := <-rec
	r.cut()
	if err := <-ended; !errors.Is(err, errSlow) {
		t.Errorf("a client that was cut off: %v", err)
	}
	if n, most := m.bytes.Load(), m.most.Load(); n > r.bytes || most > firstPiece {
		t.Errorf("%d bytes taken of %d, in pieces of %d", n, r.bytes, most)
	}
	if _, err := r.write(nil); !errors.Is(err, errSlow) {
		t.Errorf("after it was cut off: %v", err)
	}
}

// A client is given as much at once as it takes in a quarter of a second, and no
// more than tells how slow it may be before the kernel has taken its part.
func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		sent int64
		n    int
		took time.Duration
		want int
	}{
		{1 << 20, firstPiece, ms, firstPiece},
		{1 << 20, firstPiece, 500 * ms, firstPiece / 2},
		{1 << 20, firstPiece, 10000 * ms, slowPiece},
		{8 << 20, firstPiece, 0, 8 << 20},
		{8 << 20, firstPiece, 25 * ms, 10 * firstPiece},
		{8 << 20, 8 << 20, 2000 * ms, 1 << 20},
	} {
		r := &recorder{bytes: c.sent, least: 8 << 20}
		if r.pace(c.n, c.took); r.piece != c.want {
			t.Errorf("after %d bytes, %d of them in %s: %d, want %d", c.sent, c.n, c.took, r.piece, c.want)
		}
	}
}

// sends counts how often a client is written to.
type sends struct {
	http.ResponseWriter
	n int
}

func (w *sends) Write(b []byte) (int, error) {
	w.n++
	return len(b), nil
}

// unwatched is a caller for whose memory nobody waits.
type unwatched struct{ *moved }

func (unwatched) IsWatched() bool { return false }

// What others may wait for is written in pieces; all else at once.
func TestRecorderWritesAtOnce(t *testing.T) {
	var m moved
	for _, tt := range []struct {
		name   string
		taker  taker
		pieces bool
	}{
		{"nobody watches, ever", nil, false},
		{"nobody watches now", unwatched{&m}, false},
		{"watched", &m, true},
	} {
		w := &sends{ResponseWriter: httptest.NewRecorder()}
		r := &recorder{ResponseWriter: w, last: new(atomic.Bool), taker: tt.taker}
		if n, err := r.Write(make([]byte, 8<<20)); n != 8<<20 || err != nil {
			t.Fatalf("%s: %d, %v", tt.name, n, err)
		}
		if pieces := w.n > 1; pieces != tt.pieces {
			t.Errorf("%s: %d writes", tt.name, w.n)
		}
	}
}
