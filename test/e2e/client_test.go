// Package e2e tests the whole binary: real nodes, as processes, with a real S3
// between them, and the clients that researchers use.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// answerLimit is the time within which a node answers whatever happens: a
// request that takes longer is hung.
const answerLimit = 20 * time.Second

// answer is a node's, read to its end.
type answer struct {
	method string
	status int
	header http.Header
	body   []byte
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

// send sends one request; headers are names and values in turn. A body that is
// broken off is an error.
func send(ctx context.Context, method, target string, body []byte, headers ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	if method != http.MethodHead && resp.ContentLength > 0 {
		got.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	_, err = got.ReadFrom(resp.Body)
	return answer{method: method, status: resp.StatusCode, header: resp.Header, body: got.Bytes()}, err
}

// wantStream gets a target and fails the test unless the answer is these bytes,
// whole. It holds none of them: it is for many readers of a large object at once.
func wantStream(t testing.TB, target string, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	piece := make([]byte, 64<<10)
	at := 0
	for err == nil {
		var n int
		n, err = resp.Body.Read(piece)
		if at+n > len(body) || !bytes.Equal(piece[:n], body[at:at+n]) {
			t.Errorf("%s: other bytes near %d", target, at)
			return
		}
		at += n
	}
	if err != io.EOF || at != len(body) || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %d of %d bytes, %v", target, resp.StatusCode, at, len(body), err)
	}
}

// do is send for a request that must be answered.
func do(t testing.TB, method, target string, body []byte, headers ...string) answer {
	t.Helper()
	a, err := send(t.Context(), method, target, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return a
}

// want fails the test unless the status is the one.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	return a
}

// wantBody fails the test unless the answer is these bytes, whole.
func (a answer) wantBody(t testing.TB, body []byte) answer {
	t.Helper()
	a.want(t, http.StatusOK)
	if !bytes.Equal(a.body, body) {
		t.Fatalf("%d bytes came back, which are not the %d that were put", len(a.body), len(body))
	}
	return a
}

// wantProblem fails the test unless the answer is a problem (RFC 9457) of this
// status and name, that says something.
func (a answer) wantProblem(t testing.TB, status int, name string) answer {
	t.Helper()
	if err := a.problem(status, name); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a answer) problem(status int, name string) error {
	if a.status != status {
		return fmt.Errorf("status %d, want %d %s: %.300s", a.status, status, name, a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		return fmt.Errorf("an error of type %q: %.300s", ct, a.body)
	}
	if status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
		return fmt.Errorf("503 without Retry-After: %.300s", a.body)
	}
	if a.method == http.MethodHead {
		return nil
	}
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		return fmt.Errorf("read problem: %w: %.300s", err, a.body)
	}
	if p.Type != "urn:larder:problem:"+name || p.Status != status || p.Title == "" || p.Detail == "" {
		return fmt.Errorf("the problem is %+v, want %s with title and detail", p, name)
	}
	return nil
}

func object(n *testcluster.Node, key string) string {
	return n.URL() + "/v1/objects/" + url.PathEscape(key)
}

func strategy(n *testcluster.Node, key string) string {
	return n.URL() + "/v1/strategies/" + url.PathEscape(key)
}

// listed is one key of a listing.
type listed struct {
	Key, ETag, Name string
	Size            int64
	EnvDate         string `json:"env_date"`
	EnvHash         string `json:"env_hash"`
	Expires         *time.Time
}

// list lists a service, given its query.
func list(t testing.TB, n *testcluster.Node, service, query string, headers ...string) (keys []listed, cursor string) {
	t.Helper()
	a := do(t, http.MethodGet, n.URL()+"/v1/"+service+"?"+query, nil, headers...).want(t, http.StatusOK)
	var page struct {
		Keys   []listed
		Cursor string
	}
	if err := json.Unmarshal(a.body, &page); err != nil {
		t.Fatalf("read listing: %v: %.300s", err, a.body)
	}
	return page.Keys, page.Cursor
}

// noise is n bytes that are the same for the same seed.
func noise(seed uint64, n int) []byte {
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b) // it cannot fail
	return b
}

// python is an interpreter that has the packages of test-requirements.txt.
func python(t testing.TB) string {
	t.Helper()
	path := os.Getenv("LARDER_TEST_PYTHON")
	if path == "" {
		t.Fatal("LARDER_TEST_PYTHON is not set: it names an interpreter with the packages of test-requirements.txt; 'make test' makes one, .venv/bin/python")
	}
	return path
}

// run runs a command and returns its standard output; stdin may be nil.
func run(t testing.TB, stdin []byte, env []string, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Env = bytes.NewReader(stdin), append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stderr.Bytes(), out)
	}
	return out
}
