package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
	"larder/writepath"
)

const goodToken, readersToken = "Bearer good-token", "Bearer readers-token"

// tokens are two good ones, of ada who may write and of rob who may not.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, c auth.Credential) (auth.Principal, error) {
	switch c.Authorization {
	case goodToken:
		return auth.Principal{Org: "acme", User: "ada", Role: auth.Writer, TokenID: "t1"}, nil
	case readersToken:
		return auth.Principal{Org: "acme", User: "rob", Role: auth.Reader, TokenID: "t2"}, nil
	}
	return auth.Principal{}, auth.ErrBadCredential
}

func (t tokens) Known(authorization string) (auth.Principal, bool) {
	p, err := t.Authenticate(context.Background(), auth.Credential{Authorization: authorization})
	return p, err == nil
}

// writes takes everything: what is new is created; "gone" is not there.
type writes struct{ known map[string]bool }

func (w writes) Put(_ context.Context, k keys.Key, h store.Head, _ []byte, c writepath.Conditions) (writepath.Result, error) {
	if c.IfAbsent && w.known[k.Name] {
		return writepath.Result{}, store.ErrPrecondition
	}
	created := !w.known[k.Name]
	w.known[k.Name] = true
	return writepath.Result{Head: h, Created: created}, nil
}

func (w writes) PutLarge(ctx context.Context, k keys.Key, u writepath.Upload) (writepath.Result, error) {
	if _, err := io.Copy(io.Discard, u.Body); err != nil {
		return writepath.Result{}, err
	}
	return w.Put(ctx, k, u.Head, nil, u.Conditions)
}

func (w writes) Delete(_ context.Context, k keys.Key, _ string, _ []string) error {
	if !w.known[k.Name] {
		return store.ErrNotFound
	}
	delete(w.known, k.Name)
	return nil
}

func (w writes) Drop(_ context.Context, d writepath.Drop, ks []keys.Key) []writepath.Dropped {
	out := make([]writepath.Dropped, len(ks))
	for i, k := range ks {
		if out[i].Done = w.known[k.Name]; !d.Dry {
			delete(w.known, k.Name)
		}
	}
	return out
}

// logging is an API, what it logs, and what it tells Observe.
func logging(t *testing.T, level zerolog.Level) (*API, *testcluster.Logged, *[]Served) {
	var log testcluster.Logged
	var seen []Served
	a := reading(t, 100, zerolog.New(&log).Level(level))
	a.auth, a.wrt = tokens{}, writes{known: map[string]bool{}}
	a.cfg.Observe = func(s Served) { seen = append(seen, s) }
	a.cfg.ChunkSize, a.cfg.MaxObject = 1<<10, 1<<20
	return a, &log, &seen
}

// ask sends a request; headers are names and values in turn.
func ask(a *API, method, target, body, authorization string, headers ...string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", authorization)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a.ServeHTTP(httptest.NewRecorder(), r)
}

// lines are the log's, of one component.
func lines(t *testing.T, log *testcluster.Logged, component string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if l["component"] == component {
			all = append(all, l)
		}
	}
	return all
}

// Every write, delete and refused caller has a line at info, with who, what and
// what came of it; reads have none.
func TestAudit(t *testing.T) {
	a, log, _ := logging(t, zerolog.InfoLevel)
	sum := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello
	for _, c := range []struct {
		method, target, body, auth string
		headers                    []string
		want                       map[string]any // nil: no line
	}{
		{"PUT", "/v1/objects/a%20b", "hello", goodToken, nil, map[string]any{"verdict": "created", "status": 201.0, "org": "acme", "user": "ada",
			"credential": "t1", "service": "objects", "key": "a b", "digest": sum, "bytes": 5.0, "from": "192.0.2.1:1234"}},
		{"PUT", "/v1/objects/a%20b", "hello", goodToken, nil, map[string]any{"verdict": "replaced", "status": 200.0}},
		{"PUT", "/v1/objects/a%20b", "hello", goodToken, []string{"If-None-Match", "*"}, map[string]any{"verdict": "precondition-failed", "status": 412.0, "bytes": 5.0}},
		{"PUT", "/v1/objects/large", strings.Repeat("x", 2000), goodToken, nil, map[string]any{"verdict": "created", "bytes": 2000.0, "digest": ""}},
		{"PUT", "/v1/objects/a", "hello", goodToken, []string{"Repr-Digest", "sha-256=:AAAA:"}, map[string]any{"verdict": "bad-digest", "status": 400.0}},
		{"PUT", "/v1/strategies/a", "hello", goodToken, nil, map[string]any{"verdict": "bad-key", "path": "/v1/strategies/a", "user": "ada", "bytes": 5.0}},
		{"PUT", "/v1/objects/a", "hello", readersToken, nil, map[string]any{"verdict": "read-only", "status": 403.0, "user": "rob", "key": "a"}},
		{"DELETE", "/v1/objects/a%20b", "", goodToken, nil, map[string]any{"verdict": "deleted", "status": 204.0, "key": "a b", "bytes": 0.0}},
		{"DELETE", "/v1/objects/a%20b", "", goodToken, nil, map[string]any{"verdict": "not-found", "status": 404.0}},
		{"GET", "/v1/objects/k", "", "Bearer stolen", nil, map[string]any{"verdict": "bad-credential", "status": 401.0, "user": "", "path": "/v1/objects/k"}},
		{"GET", "/v1/objects/k", "", readersToken, nil, nil},
		{"HEAD", "/v1/objects/k", "", readersToken, nil, nil},
		{"GET", "/v1/nothing", "", readersToken, nil, nil},
	} {
		log.Reset()
		ask(a, c.method, c.target, c.body, c.auth, c.headers...)
		audit := lines(t, log, "audit")
		if c.want == nil && len(audit) == 0 {
			continue
		}
		if len(audit) != 1 || c.want == nil {
			t.Errorf("%s %s: %d lines: %s", c.method, c.target, len(audit), log)
			continue
		}
		for _, field := range slices.Sorted(maps.Keys(c.want)) {
			if got := audit[0][field]; got != c.want[field] {
				t.Errorf("%s %s: %s is %v, want %v", c.method, c.target, field, got, c.want[field])
			}
		}
		if strings.Contains(log.String(), "token") || strings.Contains(log.String(), "stolen") || strings.Contains(log.String(), "hello") {
			t.Errorf("a credential or an object is in the log: %s", log)
		}
		if got := lines(t, log, "access"); len(got) > 0 {
			t.Errorf("an access line at level info: %v", got)
		}
	}
}

// At debug every request has a line.
func TestAccessLog(t *testing.T) {
	a, log, _ := logging(t, zerolog.DebugLevel)
	ask(a, "GET", "/v1/objects/k", "", readersToken)
	ask(a, "GET", "/v1/objects/k?x=secret", "", readersToken)
	ask(a, "PUT", "/v1/objects/k", "hello", goodToken)
	ask(a, "GET", "/"+strings.Repeat("x", 1000), "", readersToken)
	got := lines(t, log, "access")
	if len(got) != 4 || len(lines(t, log, "audit")) != 1 {
		t.Fatalf("%s", log)
	}
	for i, want := range []map[string]any{
		{"op": "get", "source": "s3", "bytes": 100.0, "status": 200.0, "user": "rob", "key": "k", "problem": "", "broken": false},
		{"op": "get", "source": "memory", "bytes": 100.0},
		{"op": "put", "source": "", "bytes": 5.0, "user": "ada"},
		{"op": "other", "problem": "no-route", "status": 404.0, "path": "/" + strings.Repeat("x", pathShown-1)},
	} {
		for field, v := range want {
			if got[i][field] != v {
				t.Errorf("line %d: %s is %v, want %v", i, field, got[i][field], v)
			}
		}
		if d, ok := got[i]["dur"].(float64); !ok || d <= 0 {
			t.Errorf("line %d: dur is %v", i, got[i]["dur"])
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("a query is in the log: %s", log)
	}
}

// tornConn is a connection that breaks when bytes are written to it.
type tornConn struct{ discard }

func (tornConn) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Observe hears where bytes came from, how many went which way, and of answers
// that were broken off.
func TestObserve(t *testing.T) {
	a, _, seen := logging(t, zerolog.InfoLevel)
	ask(a, "GET", "/v1/objects/k", "", goodToken)
	ask(a, "PUT", "/v1/objects/k", "hello", goodToken)
	ask(a, "PUT", "/v1/objects/k", strings.Repeat("x", 2000), goodToken)
	ask(a, "PUT", "/v1/objects/k", "refused", readersToken)
	for _, ranges := range []string{"", "bytes=10-19"} {
		r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
		r.Header.Set("Authorization", goodToken)
		r.Header.Set("Range", ranges)
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("an answer that cannot be sent ends with %v", p)
				}
			}()
			a.ServeHTTP(tornConn{discard{http.Header{}}}, r)
		}()
	}
	for i, want := range []Served{
		{Op: "get", Status: 200, Source: "s3", Sent: 100},
		{Op: "put", Status: 201, Received: 5},
		{Op: "put", Status: 200, Received: 2000},
		{Op: "put", Status: 403, Received: 7, Sent: (*seen)[3].Sent},
		{Op: "get", Status: 200, Source: "memory", Broken: true},
		{Op: "get", Status: 206, Source: "memory", Broken: true},
	} {
		got := (*seen)[i]
		if got.Took <= 0 {
			t.Errorf("request %d took %s", i, got.Took)
		}
		got.Took = 0
		if got != want {
			t.Errorf("request %d: %+v, want %+v", i, got, want)
		}
	}
}

// A request that is not logged takes no memory for it.
func TestLogsThatAreOffTakeNoMemory(t *testing.T) {
	a, _, _ := logging(t, zerolog.InfoLevel)
	a.cfg.Observe = func(Served) {}
	c := &call{Request: httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil), w: &recorder{status: 200}, op: "get"}
	if n := testing.AllocsPerRun(100, func() { a.served(c, 1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Cache-Status tells a hit from a miss; a hot copy is this node's memory.
func TestCacheStatus(t *testing.T) {
	for source, want := range map[chunks.Source]string{
		chunks.Memory: "larder; hit; detail=memory",
		chunks.Hot:    "larder; hit; detail=memory",
		chunks.Peer:   "larder; hit; detail=peer",
		chunks.S3:     "larder; fwd=miss; detail=s3",
	} {
		if got := cacheStatus(source); got != want {
			t.Errorf("%s: %s", source, got)
		}
	}
}
