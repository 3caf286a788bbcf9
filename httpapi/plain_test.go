package httpapi

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"testing"
)

// agrees fails if a request that begins with these bytes is plain, and net/http finds
// anything else in it.
func agrees(t *testing.T, b []byte) (plain bool) {
	t.Helper()
	p, ok := parsePlain(b)
	name, isName := unescape(nil, p.name)
	if !ok || !isName {
		return false
	}
	rest := bytes.NewReader(b[:p.length])
	in := bufio.NewReaderSize(rest, 16)
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("%q is no request: %v", b, err)
	}
	service, escaped, ok := route{path: "/v1/{service}/{key}"}.match(r.URL.EscapedPath(), false)
	theirs, err := keyText(escaped, nil)
	if !ok || err != nil || service != p.service || theirs != string(name) {
		t.Fatalf("%q is for %s %q, %v; taken for %s %q", b, service, theirs, err, p.service, name)
	}
	if left := in.Buffered() + rest.Len(); left > 0 || r.ContentLength != 0 || r.Body != http.NoBody || r.Close || r.URL.RawQuery != "" || r.URL.ForceQuery {
		t.Fatalf("%q: %d bytes are left of %+v", b, left, r)
	}
	if r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.Host != string(p.host) || r.Header.Get("Authorization") != string(p.authorization) {
		t.Fatalf("%q is %+v, taken for %+v", b, r, p)
	}
	for name, values := range r.Header {
		if len(values) > 1 || fieldOf([]byte(name)) == 0 {
			t.Fatalf("%q has %s: %q", b, name, values)
		}
	}
	return true
}

// FuzzPlain compares the front's grammar with net/http's.
func FuzzPlain(f *testing.F) {
	for _, request := range slices.Concat(plainOnes(), others()) {
		f.Add([]byte(request))
	}
	f.Fuzz(func(t *testing.T, b []byte) { agrees(t, b) })
}

func TestPlain(t *testing.T) {
	for _, request := range plainOnes() {
		if !agrees(t, []byte(request+"more")) {
			t.Errorf("%q is not plain", request)
		}
		for end := range request {
			if agrees(t, []byte(request[:end])) {
				t.Errorf("%q is plain", request[:end])
			}
		}
	}
	for _, request := range others() {
		agrees(t, []byte(request)) // some of them are plain, for what is not there
	}
}

// Whatever byte stands wherever in a request, the front and net/http agree on it.
func TestPlainByteByByte(t *testing.T) {
	request := []byte("GET /v1/objects/a%2Fb HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n")
	plain := 0
	for at := range request {
		for c := range 256 {
			spoilt := slices.Clone(request)
			spoilt[at] = byte(c)
			if agrees(t, spoilt) {
				plain++
			}
			if agrees(t, slices.Insert(slices.Clone(request), at, byte(c))) {
				plain++
			}
		}
	}
	if plain < 100 {
		t.Errorf("%d were plain", plain)
	}
}

// What is drawn is found the same by both.
func TestPlainAtRandom(t *testing.T) {
	d, plain, n := newDrawer(2), 0, drawn(50_000)
	for range n {
		if agrees(t, d.draw(1)) {
			plain++
		}
	}
	t.Logf("%d of %d were plain", plain, n)
	if plain < n/10 {
		t.Error("too few of them")
	}
}
