package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"larder/fill"
	"larder/keys"
)

// idle is a connection that net/http takes for idle, and that is the front's.
func idle(t *testing.T, s *side) net.Conn {
	t.Helper()
	c := s.dial(t)
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	const head = "HEAD /v1/objects/k HTTP/1.1\r\n" + host + end
	in := bufio.NewReader(c)
	ask := func(request string) {
		_, _ = io.WriteString(c, request)
		answer, err := http.ReadResponse(in, &http.Request{Method: request[:strings.IndexByte(request, ' ')]})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	ask(head) // from here on net/http takes it for idle, once it has ended that
	for before := int64(-1); before != s.handled.Load(); {
		before = s.handled.Load()
		ask(kGet)
	}
	return c
}

// stopped is a side whose front is sending an answer that nobody takes: the connection,
// and what was taken of it.
func stopped(t *testing.T, s *side) (c net.Conn, taken []byte) {
	t.Helper()
	c = idle(t, s)
	if _, err := io.WriteString(c, "GET /v1/objects/chunk HTTP/1.1\r\n"+host+end); err != nil {
		t.Fatal(err)
	}
	taken = make([]byte, 20)
	if _, err := io.ReadFull(c, taken); err != nil || !bytes.HasPrefix(taken, []byte("HTTP/1.1 200 OK")) {
		t.Fatalf("%q, %v", taken, err)
	}
	return c, taken
}

// A planned stop does not break off an answer. Any other end does.
func TestFrontInAStop(t *testing.T) {
	s := newTwins(t, ada{}, nil).front
	c, taken := stopped(t, s)
	s.api.Drain()
	if got := s.walk(t, step{kGet, []int{200}}); got != 1 {
		t.Errorf("net/http, which ends connections, has %d", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if open, _ := s.door.Connections(); open != 1 {
		t.Errorf("%d connections, want that of the answer", open)
	}
	rest, err := io.ReadAll(c)
	if want := 1 << 20; err != nil || len(taken)+len(rest) < want {
		t.Errorf("%d bytes, %v", len(taken)+len(rest), err)
	}
	for open := 1; open > 0; open, _ = s.door.Connections() { // the answer's has just ended
		if ctx.Err() != nil {
			t.Fatal("it is still there")
		}
	}
}

// asking is a read path that waits for another node.
type asking struct {
	Reader
	begun, answered chan struct{}
}

func (a asking) Ready(k keys.Key, user string) (fill.Ready, bool) {
	a.begun <- struct{}{}
	<-a.answered
	return a.Reader.Ready(k, user)
}

// Nor does it break off an answer that another node is still asked for.
func TestFrontInAStopAsksOn(t *testing.T) {
	s := newTwins(t, ada{}, nil).front
	c := idle(t, s)
	a := asking{s.api.read, make(chan struct{}), make(chan struct{})}
	s.api.read = a
	if _, err := io.WriteString(c, kGet); err != nil {
		t.Fatal(err)
	}
	<-a.begun
	s.api.Drain()
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(a.answered)
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasSuffix(answer, bytesOf(0, 20)) {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestFrontIsBrokenOff(t *testing.T) {
	s := newTwins(t, ada{}, nil).front
	c, _ := stopped(t, s)
	s.told()
	_ = s.server.Close()
	rest, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || len(rest) >= 1<<20 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
	for end := time.Now().Add(time.Minute); ; {
		if told := s.told(); len(told) > 0 {
			if !told[0].Broken || told[0].Sent >= 1<<20 || told[0].Op != "get" {
				t.Errorf("%+v", told)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("metrics are told nothing")
		}
	}
}
