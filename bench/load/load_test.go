package main

import (
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
	l := load{addr: server.Listener.Addr().String(), paths: []string{"/a/0", "/a/1", "/a/2"}, conns: 1, size: 10}
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
