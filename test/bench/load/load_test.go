package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Each connection asks for all keys in turn, answers follow each other on it,
// and every one is looked at.
func TestLoop(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.Path]++
		mu.Unlock()
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		_, _ = io.WriteString(w, strings.Repeat("x", 10+n))
	}))
	defer server.Close()
	l := load{addr: server.Listener.Addr().String(), paths: []string{"/a/0", "/a/1", "/a/2"}, conns: 1, size: 10, speaks: "http"}
	n, err := l.loop(0, time.Now().Add(50*time.Millisecond))
	if err != nil || n < 3 {
		t.Fatalf("%d answers, %v", n, err)
	}
	total := 0
	for i := range 3 {
		total += asked[fmt.Sprint("/a/", i)]
	}
	if total != n || len(asked) != 3 {
		t.Errorf("%d answers to %v", n, asked)
	}
	l.paths = []string{"/a?n=1"}
	if _, err := l.loop(0, time.Now().Add(time.Second)); err == nil {
		t.Error("a longer body was taken")
	}
	server.Config.Handler = http.NotFoundHandler()
	if _, err := l.loop(0, time.Now().Add(time.Second)); err == nil {
		t.Error("a 404 was taken")
	}
}

func TestProtocols(t *testing.T) {
	for name, c := range map[string]struct{ asked, good, bad string }{
		"http":      {"GET k HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi"},
		"redis":     {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$2\r\nhi\r\n", "$-1\r\n"},
		"memcached": {"get k\r\n", "VALUE k 0 2\r\nhi\r\nEND\r\n", "END\r\n"},
	} {
		p := protocols()[name]
		var asked strings.Builder
		if err := p.ask(&asked, "a", "k"); err != nil || asked.String() != c.asked {
			t.Errorf("%s: asks %q, %v", name, asked.String(), err)
		}
		from := bufio.NewReader(strings.NewReader(c.good + c.good))
		for range 2 {
			if err := p.take(from, 2); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, bad := range []string{c.bad, strings.Replace(c.good, "2", "3", 1), c.good[:len(c.good)-1]} {
			if err := p.take(bufio.NewReader(strings.NewReader(bad)), 2); err == nil {
				t.Errorf("%s: took %q", name, bad)
			}
		}
	}
}
