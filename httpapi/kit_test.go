package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
	"larder/writepath"
)

// kept is a write path that keeps what it is given.
type kept struct {
	mu   sync.Mutex // guards body and head
	body []byte
	head store.Head
}

func (k *kept) Put(_ context.Context, _ keys.Key, h store.Head, body []byte, _ writepath.Conditions) (writepath.Result, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.body, k.head = bytes.Clone(body), h
	return writepath.Result{Head: h, Created: true}, nil
}

func (k *kept) PutLarge(ctx context.Context, key keys.Key, u writepath.Upload) (writepath.Result, error) {
	all, err := io.ReadAll(u.Body)
	if err == nil {
		err = u.Verify()
	}
	if err != nil {
		return writepath.Result{}, err
	}
	return k.Put(ctx, key, u.Head, all, u.Conditions)
}

func (*kept) Delete(context.Context, keys.Key, string, []string) error { return nil }

func (*kept) Drop(_ context.Context, _ writepath.Drop, ks []keys.Key) []writepath.Dropped {
	return make([]writepath.Dropped, len(ks))
}

// holds reports whether it was given these bytes last, or nothing.
func (k *kept) holds(body string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(k.body) == body
}

// server serves an API on loopback. Chunks have 1 KiB.
type server struct {
	*testing.T
	api  *API
	kept *kept
	addr string
	door *Door
	log  *testcluster.Logged
}

func serve(t *testing.T, most int, who Authenticator) *server {
	t.Helper()
	s := &server{T: t, kept: &kept{}, log: &testcluster.Logged{}}
	s.api = readingFrom(t, oneObject{body: []byte("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat("x", 8<<10))}, zerolog.New(s.log))
	s.api.wrt, s.api.auth = s.kept, who
	s.api.cfg.ChunkSize = 1 << 10
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	h := &http.Server{MaxHeaderBytes: 4 << 10}
	s.door = s.api.Bound(l, most)
	attached := s.api.Attach(h, s.door)
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(attached) }()
	t.Cleanup(func() {
		_ = h.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s
}

func (s *server) dial() net.Conn {
	s.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// raw sends bytes and returns the answer, and whether the connection was closed
// after it.
func (s *server) raw(request string) (*http.Response, []byte, bool) {
	s.Helper()
	c := s.dial()
	if _, err := io.WriteString(c, request); err != nil {
		s.Fatal(err)
	}
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		s.Fatalf("%.40q: %v", request, err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	if id := answer.Header.Get("Larder-Request"); len(id) < 16 {
		s.Errorf("%.40q: Larder-Request %q", request, id)
	}
	if answer.StatusCode >= 400 {
		var p problem
		if err := json.Unmarshal(body, &p); err != nil || p.Status != answer.StatusCode || p.Request != answer.Header.Get("Larder-Request") {
			s.Errorf("%.40q: %d %s", request, answer.StatusCode, body)
		}
	}
	return answer, body, answer.Close
}

const to = " /v1/objects/k HTTP/1.1\r\nHost: localhost\r\n"
