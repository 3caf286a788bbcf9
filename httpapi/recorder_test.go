package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// moved counts what a client has taken.
type moved struct{ bytes, most atomic.Int64 }

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
	if n, most := m.bytes.Load(), m.most.Load(); n > r.bytes || most > sendPiece {
		t.Errorf("%d bytes taken of %d, in pieces of %d", n, r.bytes, most)
	}
	if _, err := r.write(nil); !errors.Is(err, errSlow) {
		t.Errorf("after it was cut off: %v", err)
	}
}
