package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/httpapi/auth"
)

// Every answer has an ID, those of net/http as well, and nothing is kept of a
// request that is refused.
func TestEveryAnswerHasAnID(t *testing.T) {
	s := serve(t, 100, ada{})
	for _, c := range []struct {
		request string
		status  int
	}{
		{"GET" + to + "Larder-Request: mine\r\n\r\n", 200},
		{"HEAD" + to + "If-None-Match: *\r\n\r\n", 304},
		{"GET" + to + "If-None-Match: \"v1\"\r\n\r\n", 304},
		{"GET" + to + "Range: bytes=0-1\r\n\r\n", 206},
		{"GET" + to + "Range: bytes=99999-\r\n\r\n", 416},
		{"GET" + to + "If-Match: \"v2\"\r\n\r\n", 412},
		{"PATCH" + to + "\r\n", 405},
		{"GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
		{"GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"PUT" + to + "Content-Length: 2\r\n\r\nab", 201},
		{"DELETE" + to + "\r\n", 204},
		{"nonsense\r\n\r\n", 400},
		{"GET /v1/objects/k HTTP/1.1\r\n\r\n", 400}, // no Host
		{"GET" + to + "Bad Name: x\r\n\r\n", 400},
		{"GET" + to + "X: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", 431},
		{"GET /v1/objects/k HTTP/3.0\r\nHost: localhost\r\n\r\n", 505},
		{"PUT" + to + "Transfer-Encoding: gzip\r\n\r\n", 501},
		{"PUT" + to + "Expect: more\r\nContent-Length: 1\r\n\r\nx", 417},
		{"GET" + to + "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400},
	} {
		answer, _, _ := s.raw(c.request)
		if answer.StatusCode != c.status || answer.Header.Get("Larder-Request") == "mine" {
			t.Errorf("%.60q: %d, want %d", c.request, answer.StatusCode, c.status)
		}
	}
}

// What an object holds is never taken for net/http's own words.
func TestBytesLikeARefusal(t *testing.T) {
	s := serve(t, 100, ada{})
	for range 2 { // from the store, from memory
		answer, body, _ := s.raw("GET" + to + "\r\n")
		if answer.StatusCode != 200 || !bytes.HasPrefix(body, []byte("HTTP/1.1 400 Bad Request\r\n\r\nxxx")) {
			t.Errorf("%d %.60q", answer.StatusCode, body)
		}
	}
}

func TestPutWithoutLength(t *testing.T) {
	s := serve(t, 100, ada{})
	for _, request := range []string{
		"PUT" + to + "\r\n",
		"PUT /v1/objects/k HTTP/1.0\r\n\r\nbytes",
		"PUT /v1/objects?key=k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
	} {
		answer, body, _ := s.raw(request)
		if answer.StatusCode != 411 || !bytes.Contains(body, []byte("length-required")) || !s.kept.holds("") {
			t.Errorf("%q: %d %s", request, answer.StatusCode, body)
		}
	}
	if answer, _, _ := s.raw("PUT" + to + "Content-Length: 0\r\n\r\n"); answer.StatusCode != 201 {
		t.Errorf("an empty object: %d", answer.StatusCode)
	}
}

// Digests may come behind a body.
func TestTrailers(t *testing.T) {
	const right, wrong = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", "sha-256=:AAAA:"
	const right512 = "sha-512=:m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==:"
	chunked := func(announce string, body string, trailer ...string) string {
		request := "PUT" + to + "Transfer-Encoding: chunked\r\n"
		if announce != "" {
			request += "Trailer: " + announce + "\r\n"
		}
		return request + fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n", len(body), body) + strings.Join(append(trailer, "", ""), "\r\n")
	}
	large := strings.Repeat("x", 5000)
	for _, c := range []struct {
		request string
		status  int
	}{
		{chunked("", "hello"), 201},
		{chunked("Content-Digest", "hello", "Content-Digest: "+right), 201},
		{chunked("", "hello", "Content-Digest: "+right, "Other: thing"), 201},
		{chunked("Repr-Digest", "hello", "Repr-Digest: "+right512), 201},
		{chunked("", "hello", "Repr-Digest: "+right512), 201},
		{chunked("Content-Digest", "hello", "Content-Digest: "+wrong), 400},
		{chunked("", "hello", "Content-Digest: "+wrong), 400},
		{chunked("", "hello", "Repr-Digest: sha-512=:AAAA:"), 400},
		{chunked("", "hello", "Repr-Digest: sha-256"), 400},
		{chunked("", large), 201},
		{chunked("Content-Digest", large, "Content-Digest: "+right), 400},
		{chunked("", large, "Content-Digest: "+right), 400},
		{chunked("Repr-Digest", large, "Repr-Digest: sha-512=:AAAA:"), 400},
		{chunked("", large, "Repr-Digest: sha-512=:AAAA:"), 400}, // not announced, so not known
		{chunked("", large, "Other: thing"), 201},
	} {
		s := serve(t, 100, ada{})
		answer, body, _ := s.raw(c.request)
		if answer.StatusCode != c.status || (c.status == 201) == s.kept.holds("") {
			t.Errorf("%.300q: %d %s", c.request, answer.StatusCode, body)
		}
	}
}

// A request with two framings is the last of its connection (RFC 9112, 6.1).
func TestTwoFramings(t *testing.T) {
	s := serve(t, 100, ada{})
	for headers, closes := range map[string]bool{
		"Transfer-Encoding: chunked\r\n":                                    false,
		"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n":               true,
		"Transfer-Encoding: chunked\r\ncoNTent-lENGTH: 3\r\nX: content\r\n": true,
	} {
		answer, _, closed := s.raw("PUT" + to + headers + "\r\n2\r\nab\r\n0\r\n\r\n")
		if answer.StatusCode != 201 || closed != closes || !s.kept.holds("ab") {
			t.Errorf("%q: %d, closed: %v", headers, answer.StatusCode, closed)
		}
	}
}

// Of a chunked request that was sent ahead nobody knows whether it has two framings.
func TestTwoFramingsSentAhead(t *testing.T) {
	s := serve(t, 100, ada{})
	const (
		get, body = "GET" + to + "\r\n", "\r\n2\r\nab\r\n0\r\n\r\n"
		put       = "PUT" + to + "Content-Length: 1\r\n\r\nx"
		chunked   = "PUT" + to + "Transfer-Encoding: chunked\r\n"
		length    = "Content-Length: 3\r\n"
	)
	type step struct {
		sent    string
		answers int // that are awaited then
	}
	for _, c := range []struct {
		steps  []step
		closes bool
	}{
		{[]step{{get + chunked + length + body, 2}}, true},
		{[]step{{put + get + chunked + length + body, 3}}, true},
		{[]step{{get + chunked + length, 1}, {body, 1}}, true},
		{[]step{{put + chunked, 1}, {length + body, 1}}, true},
		{[]step{{get, 1}, {chunked + length + body, 1}}, true},
		{[]step{{get, 1}, {chunked + body, 1}, {chunked + body, 1}, {put, 1}, {chunked + body, 1}}, false},
		{[]step{{get + put + get, 3}}, false},
	} {
		conn := s.dial()
		in, closed := bufio.NewReader(conn), false
		for _, step := range c.steps {
			if _, err := io.WriteString(conn, step.sent); err != nil {
				t.Fatal(err)
			}
			for range step.answers {
				answer, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatalf("%v: %v", c.steps, err)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				closed = answer.Close
			}
		}
		if closed != c.closes {
			t.Errorf("%v: closed: %v", c.steps, closed)
		}
	}
}

// The name is found however the bytes of the header come.
func TestLengthsInPieces(t *testing.T) {
	header := "PUT / HTTP/1.1\r\nHost: content\r\nContent-\r\nContent-Length: 3\r\n"
	for size := 1; size < len(header); size++ {
		var l lengths
		for rest := header; rest != ""; rest = rest[min(size, len(rest)):] {
			l.scan([]byte(rest[:min(size, len(rest))]))
		}
		if !l.found {
			t.Errorf("not found in pieces of %d", size)
		}
	}
}

func TestForms(t *testing.T) {
	for sent, want := range map[string]string{
		"": "application/octet-stream", "text/csv; charset=utf-8": "text/csv; charset=utf-8",
		"application/x-www-form-urlencoded": "application/octet-stream", "Application/X-WWW-Form-Urlencoded ; charset=utf-8": "application/octet-stream",
		"multipart/mixed; boundary=x": "multipart/mixed; boundary=x", "multipart/form-data": "", "Multipart/Form-Data; boundary=x": "",
	} {
		got, err := typeOf(sent)
		if got != want || errors.Is(err, errForm) != (want == "") {
			t.Errorf("%q: %q, %v", sent, got, err)
		}
	}
}

// A stranger's connection is closed, and little of his body read.
func TestStrangers(t *testing.T) {
	s := serve(t, 100, tokens{})
	if answer, _, closed := s.raw("GET" + to + "\r\n"); answer.StatusCode != 401 || !closed {
		t.Errorf("%d, closed: %v", answer.StatusCode, closed)
	}
	c := s.dial()
	if _, err := io.WriteString(c, "PUT"+to+"Content-Length: 100000000\r\n\r\n"+strings.Repeat("x", 300<<10)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != 401 {
		t.Errorf("%v", err)
	}
}

// revoked are tokens that are good when a request begins, and then what is left.
type revoked struct {
	mu    sync.Mutex // guards asked
	asked int
	then  func() (auth.Principal, error)
}

func (r *revoked) Authenticate(context.Context, auth.Credential) (auth.Principal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked++; r.asked > 1 {
		return r.then()
	}
	return auth.Principal{Org: "acme", User: "ada", Role: auth.Writer}, nil
}

func (*revoked) Known(string) (auth.Principal, bool) { return auth.Principal{}, false }

// What a write needs, it needs when its body has come.
func TestRevokedOnTheWay(t *testing.T) {
	for _, c := range []struct {
		then   func() (auth.Principal, error)
		status int
	}{
		{func() (auth.Principal, error) { return auth.Principal{}, auth.ErrBadCredential }, 401},
		{func() (auth.Principal, error) { return auth.Principal{}, auth.ErrExpired }, 401},
		{func() (auth.Principal, error) { return auth.Principal{Org: "acme", Role: auth.Reader}, nil }, 403},
		{func() (auth.Principal, error) { return auth.Principal{Org: "other", Role: auth.Writer}, nil }, 401},
		{func() (auth.Principal, error) { return auth.Principal{Org: "acme", Role: auth.Admin}, nil }, 201},
	} {
		for _, size := range []int{0, 10, 5000} {
			s := serve(t, 100, &revoked{then: c.then})
			answer, body, _ := s.raw(fmt.Sprintf("PUT%sContent-Length: %d\r\n\r\n%s", to, size, strings.Repeat("x", size)))
			if answer.StatusCode != c.status || c.status != 201 && !s.kept.holds("") {
				t.Errorf("%d bytes: %d %s", size, answer.StatusCode, body)
			}
		}
	}
}

// While a node lets go, each answer ends its connection.
func TestDrain(t *testing.T) {
	s := serve(t, 100, ada{})
	c := s.dial()
	r := bufio.NewReader(c)
	for _, draining := range []bool{false, true} {
		if draining {
			s.api.Drain()
		}
		if _, err := io.WriteString(c, "GET"+to+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 || answer.Close != draining {
			t.Errorf("draining %v: %d, close: %v, %v", draining, answer.StatusCode, answer.Close, err)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection is open: %v", err)
	}
}

// One address has half of the connections at most, and who is turned away is told.
func TestDoor(t *testing.T) {
	s := serve(t, 4, ada{})
	var held []net.Conn
	for range 2 {
		c := s.dial()
		if _, err := io.WriteString(c, "GET"+to+"\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != 200 {
			t.Fatalf("%v", err)
		}
		held = append(held, c)
	}
	answer, body, closed := s.raw("")
	if answer.StatusCode != 503 || !closed || answer.Header.Get("Retry-After") == "" || !bytes.Contains(body, []byte("problem:busy")) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if open, away := s.door.Connections(); open != 2 || away != 1 {
		t.Errorf("%d open, %d turned away", open, away)
	}
	for _, other := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
		if room := s.door.enter(other); room != (other != "10.0.0.3") {
			t.Errorf("room for %s: %v", other, room)
		}
	}
	s.door.leave("10.0.0.1")
	_ = held[0].Close()
	end := time.Now().Add(20 * time.Second)
	for open := 4; open > 2; open, _ = s.door.Connections() { // once the server has seen it
		if time.Now().After(end) {
			t.Fatal("a connection that was closed is still counted")
		}
		runtime.Gosched()
	}
	if answer, _, _ := s.raw("GET" + to + "\r\n"); answer.StatusCode != 200 {
		t.Errorf("after one has left: %d", answer.StatusCode)
	}
}

// TestRepeatedFields sends fields of which the first alone says something else.
func TestRepeatedFields(t *testing.T) {
	s := serve(t, 100, ada{})
	for _, c := range []struct {
		fields string
		want   int
	}{
		{"If-None-Match:\r\nIf-None-Match: *\r\n", 201},
		{"If-None-Match: *\r\nIf-None-Match: \"a\"\r\n", 400},
		{"If-None-Match:\r\n", 400},
		{"If-Match:\r\n", 400},
		{"If-Match:\r\nIf-Match: \"a\"\r\n", 201},
		{"If-Unmodified-Since:\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 400},
		{"Content-Encoding:\r\nContent-Encoding: gzip\r\n", 400},
		{"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", 400},
		{"Content-Encoding: Identity\r\n", 201},
		{"Content-Range:\r\nContent-Range: bytes 0-0/5\r\n", 400},
		{"Larder-Claim:\r\n", 400},
		{"Larder-Claim:\r\nLarder-Claim: token\r\n", 400},
	} {
		if answer, body, _ := s.raw("PUT" + to + c.fields + "Content-Length: 1\r\n\r\nx"); answer.StatusCode != c.want {
			t.Errorf("%q: %d %s, want %d", c.fields, answer.StatusCode, body, c.want)
		}
	}
	if answer, _, _ := s.raw("PUT" + to + "If-None-Match:\r\nIf-None-Match: *\r\nIf-Match: \"a\"\r\nContent-Length: 1\r\n\r\nx"); answer.StatusCode != 400 {
		t.Errorf("a condition that comes second: %d, want it to contradict If-Match", answer.StatusCode)
	}
	if answer, _, _ := s.raw("GET" + to + "If-Match:\r\nIf-Match: \"other\"\r\n\r\n"); answer.StatusCode != 412 {
		t.Errorf("a second If-Match: %d, want 412", answer.StatusCode)
	}
}
