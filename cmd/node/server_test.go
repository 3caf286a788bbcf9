package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// Callers have at most half of the file descriptors, and no more connections than
// a small memory can bear.
func TestLimitsOf(t *testing.T) {
	for _, c := range []struct {
		files           uint64
		memory          int64
		public, private int
	}{
		{256, 1 << 30, 128, 32},
		{1024, 1 << 30, 512, 128},
		{20_000, 64 << 20, 1024, 256},
		{20_000, 1 << 20, 1000, 256},
		{20_000, 1 << 40, 10_000, 256},
		{1 << 63, 1 << 30, 16384, 256}, // no limit
		{8, 1 << 30, 4, 2},
		{0, 0, 2, 2},
	} {
		if public, private := limitsOf(c.files, c.memory); public != c.public || private != c.private {
			t.Errorf("%d files, %d bytes: %d and %d connections, want %d and %d", c.files, c.memory, public, private, c.public, c.private)
		}
	}
}

// What net/http says is a line of the log as any other, and not many of them.
func TestComplaints(t *testing.T) {
	var log bytes.Buffer
	s, err := listen("--http-addr", "127.0.0.1:0", zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	defer s.listener.Close()
	for range 100 {
		s.ErrorLog.Printf("http: Accept error: %s; retrying", "too many open files")
	}
	n := 0
	for line := range strings.Lines(log.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil || l["level"] != "warn" || l["text"] != "http: Accept error: too many open files; retrying" {
			t.Errorf("%s: %v", line, err)
		}
		n++
	}
	if n == 0 || n > 10 {
		t.Errorf("%d lines", n)
	}
}
