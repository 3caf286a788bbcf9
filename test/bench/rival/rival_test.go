package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"

	"larder/test/bench/blob"
)

func TestLength(t *testing.T) {
	for _, test := range []struct {
		path string
		n    int
		ok   bool
	}{
		{"/v1/objects/x-1024/7", 1024, true},
		{"/v1/objects/a-b-0/", 0, true},
		{"/v1/objects/x-16777216/0", 16 << 20, true},
		{"/v1/objects/x-16777217/0", 0, false},
		{"/v1/objects/x-1024", 0, false},
		{"", 0, false},
	} {
		n, err := length(test.path)
		if n != test.n || (err == nil) != test.ok {
			t.Errorf("length(%q) = %d, %v", test.path, n, err)
		}
	}
}

// What the relay answers is HTTP with the same bytes as all others serve.
func TestRelay(t *testing.T) {
	client, caller := net.Pipe()
	other, far := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- relay(caller, other) }()
	go func() {
		var question [8]byte
		for {
			if _, err := io.ReadFull(far, question[:]); err != nil {
				return
			}
			if question[7] != 1 {
				t.Errorf("asked for object %d", question[7])
			}
			_, _ = far.Write(blob.Of(int64(question[2])<<8 + int64(question[3])))
		}
	}()
	from := bufio.NewReader(client)
	for _, n := range []int64{5000, 10} {
		req, err := http.NewRequest(http.MethodGet, "http://x/v1/objects/x-5000/1", nil)
		if n == 10 {
			req, err = http.NewRequest(http.MethodGet, "http://x/v1/objects/x-10/1", nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = req.Write(client) }()
		resp, err := http.ReadResponse(from, req)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, blob.Of(n)) {
			t.Errorf("%d bytes and %v, want %d", len(got), err, n)
		}
	}
	_ = client.Close()
	if err := <-ended; err == nil {
		t.Error("the relay went on without a caller")
	}
	_ = far.Close()
}
