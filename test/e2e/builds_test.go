package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
)

var crowds = flag.Int("crowds", 5, "how many keys 200 callers each want at once")

// TestBuilds holds what docs/http.md says of builds, on one cluster.
func TestBuilds(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Secret: true})
	for _, theme := range []struct {
		name string
		test func(*testing.T, *testcluster.Cluster)
	}{
		{"one build for many", testOneBuild},
		{"polled", testPolled},
		{"a put in the middle", testPutInBuild},
		{"a delete in the middle", testDeleteInBuild},
		{"a late put is fenced", testFence},
		{"the same put again", testPutAgain},
		{"a builder leaves", testBuilderLeaves},
		{"a builder is killed", testBuilderKilled},
		{"a waiter leaves", testWaiterLeaves},
		{"unstored", testUnstored},
		{"an older value", testMaxAge},
		{"a stream is cut", testCutStream},
		{"listed", testListed},
	} {
		t.Run(theme.name, func(t *testing.T) { theme.test(t, c) })
	}
}

// pause is how long a short build takes.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}

// crowd has so many callers want a key at once, spread over the nodes, and fails the
// test unless all get the same value. It returns how many builds there were.
func crowd(t *testing.T, nodes []*testcluster.Node, key string, callers int, build func(context.Context)) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	var built atomic.Int64
	values := make([]string, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			at := i % len(nodes)
			who := caller{
				nodes: append(append([]*testcluster.Node{}, nodes[at:]...), nodes[:at]...),
				key:   key, id: fmt.Sprint("caller-", i), built: &built, build: build,
			}
			value, _, err := who.run(ctx)
			if err != nil {
				t.Errorf("%s: %v", who.id, err)
			}
			values[i] = string(value)
		})
	}
	all.Wait()
	for i, v := range values {
		if v != values[0] || v == "" {
			t.Fatalf("caller %d has %q, another %q", i, v, values[0])
		}
	}
	return int(built.Load())
}

func testOneBuild(t *testing.T, c *testcluster.Cluster) {
	const callers = 200
	before := buildsTotal(t, c, "joined")
	for round := range *crowds {
		key := fmt.Sprintf("crowd/%d", round)
		if n := crowd(t, c.Nodes, key, callers, pause); n != 1 {
			t.Fatalf("round %d: %d builds of one key:\n%s", round, n, whyBuilt(c))
		}
	}
	if joined := buildsTotal(t, c, "joined") - before; joined == 0 {
		t.Fatalf("of %d callers none joined another's build", callers**crowds)
	}
}

// whyBuilt is what the nodes have logged of why something was built again.
func whyBuilt(c *testcluster.Cluster) string {
	var said strings.Builder
	for _, n := range c.Nodes {
		for line := range strings.Lines(n.Log()) {
			if strings.Contains(line, "claim-passed-on") || strings.Contains(line, "did not say in time") || strings.Contains(line, "cut off") {
				said.WriteString(n.Name + ": " + line)
			}
		}
	}
	return said.String()
}

func testPolled(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 2, "polled")
	claim := granted(t, c.Nodes[0], key, `{"expect": 7, "waiter": "a"}`)
	if again := granted(t, c.Nodes[1], key, `{"waiter": "a"}`); again != claim {
		t.Errorf("the same waiter, at another node, got another claim")
	}
	a, l := poll(t, c.Nodes[1], key, `{"waiter": "b"}`)
	a.want(t, http.StatusAccepted)
	if l.Builder != "anonymous" || l.Expect == nil || *l.Expect != 7 || l.Ahead != 0 {
		t.Errorf("who builds: %s", a.body)
	}
	if again := granted(t, c.Nodes[1], key, `{"waiter": "a"}`); again != claim {
		t.Errorf("the same waiter, where another waits, got another claim")
	}
	beat := do(t, http.MethodPut, c.Nodes[2].URL()+buildPath(key), []byte(`{"progress": 0.25, "message": "half of half"}`), "Larder-Claim", claim)
	if l := beat.want(t, http.StatusOK).line(t); l.TTL != 15 || l.Waiting != 1 {
		t.Errorf("a beat: %s", beat.body)
	}
	// The other node hears of it from the owner, a moment later.
	testcluster.Soon(t, func() error {
		a, l := poll(t, c.Nodes[1], key, `{"waiter": "b"}`)
		if a.want(t, http.StatusAccepted); l.Progress == nil || *l.Progress != 0.25 || l.Message != "half of half" {
			return fmt.Errorf("how far it is: %s", a.body)
		}
		return nil
	})
	do(t, http.MethodPut, object(c.Nodes[1], key), []byte("value"), "Larder-Claim", claim).want(t, http.StatusCreated)
	for i, n := range c.Nodes {
		a := do(t, http.MethodPost, n.URL()+"/v1/builds/objects?key="+key, nil)
		if a.status != http.StatusOK || string(a.body) != "value" { // the client followed 303
			t.Errorf("node %d: %d %.100q", i, a.status, a.body)
		}
	}
	do(t, http.MethodPut, c.Nodes[0].URL()+buildPath(key), nil, "Larder-Claim", claim).wantProblem(t, http.StatusConflict, "claim-lost")
	do(t, http.MethodDelete, c.Nodes[0].URL()+buildPath(key), nil, "Larder-Claim", claim).wantProblem(t, http.StatusConflict, "claim-lost")
	do(t, http.MethodPut, c.Nodes[0].URL()+buildPath("other"), nil, "Larder-Claim", claim).wantProblem(t, http.StatusConflict, "claim-lost")
}

// waits opens a stream at a node and returns it once the caller is known to wait.
func waits(t *testing.T, n *testcluster.Node, key string, body map[string]any, headers ...string) *stream {
	t.Helper()
	s, err := attach(t.Context(), n.URL(), key, "", body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	if !s.lines.Scan() {
		t.Fatalf("the stream says nothing: %v", s.lines.Err())
	}
	return s
}

// wantEvent fails the test unless that is what the stream says next.
func (s *stream) wantEvent(t *testing.T, event string) line {
	t.Helper()
	l, err := s.next()
	if err != nil || l.Event != event {
		t.Fatalf("the stream says %+v, %v; want %s", l, err, event)
	}
	return l
}

func testPutInBuild(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "put-in-build")
	claim := granted(t, c.Nodes[1], key, `{}`)
	w := waits(t, c.Nodes[2], key, map[string]any{})
	do(t, http.MethodPut, object(c.Nodes[2], key), []byte("plain")).want(t, http.StatusCreated)
	w.wantEvent(t, "built")
	a := do(t, http.MethodPut, object(c.Nodes[1], key), []byte("built"), "Larder-Claim", claim).wantProblem(t, http.StatusConflict, "claim-lost")
	got := do(t, http.MethodGet, object(c.Nodes[0], key), nil).wantBody(t, []byte("plain"))
	if a.header.Get("ETag") != got.header.Get("ETag") {
		t.Errorf("claim-lost names %q, there is %q", a.header.Get("ETag"), got.header.Get("ETag"))
	}
}

func testDeleteInBuild(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "delete-in-build")
	do(t, http.MethodPut, object(c.Nodes[0], key), []byte("old")).want(t, http.StatusCreated)
	claim := granted(t, c.Nodes[1], key, `{"max_age": 0}`)
	w := waits(t, c.Nodes[2], key, map[string]any{"max_age": 0})
	do(t, http.MethodDelete, object(c.Nodes[2], key), nil).want(t, http.StatusNoContent)
	next := w.wantEvent(t, "granted")
	do(t, http.MethodPut, object(c.Nodes[1], key), []byte("late"), "Larder-Claim", claim).wantProblem(t, http.StatusConflict, "claim-lost")
	do(t, http.MethodPut, object(c.Nodes[1], key), []byte("new"), "Larder-Claim", next.Claim).want(t, http.StatusCreated)
	do(t, http.MethodGet, object(c.Nodes[0], key), nil).wantBody(t, []byte("new"))
}

// A thousand late puts replace nothing.
func testFence(t *testing.T, c *testcluster.Cluster) {
	const late = 1000
	key := owned(c, 1, "fence")
	claim := granted(t, c.Nodes[0], key, `{}`)
	do(t, http.MethodPut, object(c.Nodes[2], key), []byte("first")).want(t, http.StatusCreated)
	var all sync.WaitGroup
	var wrong atomic.Int64
	for at := range 4 {
		all.Go(func() {
			for i := at; i < late; i += 4 {
				a, err := send(t.Context(), http.MethodPut, object(c.Nodes[i%3], key), []byte(fmt.Sprint("late ", i)), "Larder-Claim", claim)
				if err != nil || a.problem(http.StatusConflict, "claim-lost") != nil {
					wrong.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d late puts were not refused", n, late)
	}
	do(t, http.MethodGet, object(c.Nodes[0], key), nil).wantBody(t, []byte("first"))
	if n := buildsTotal(t, c, "fenced"); n < late {
		t.Errorf("%d puts are counted as fenced", n)
	}
}

func testPutAgain(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 1, "again")
	claim := granted(t, c.Nodes[0], key, `{}`)
	first := do(t, http.MethodPut, object(c.Nodes[0], key), []byte("value"), "Larder-Claim", claim).want(t, http.StatusCreated)
	for _, n := range c.Nodes {
		again := do(t, http.MethodPut, object(n, key), []byte("value"), "Larder-Claim", claim).want(t, http.StatusCreated)
		if again.header.Get("ETag") != first.header.Get("ETag") {
			t.Errorf("the same put has ETag %q, then %q", first.header.Get("ETag"), again.header.Get("ETag"))
		}
	}
	do(t, http.MethodPut, object(c.Nodes[0], key), []byte("other"), "Larder-Claim", claim).wantProblem(t, http.StatusConflict, "claim-lost")
}

// The oldest waiter is next when a builder's connection ends, and when it gives up.
func testBuilderLeaves(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "leaves")
	builder := waits(t, c.Nodes[1], key, map[string]any{})
	first := waits(t, c.Nodes[2], key, map[string]any{})
	second := waits(t, c.Nodes[0], key, map[string]any{})
	builder.end()
	l := first.wantEvent(t, "granted")
	do(t, http.MethodDelete, c.Nodes[1].URL()+buildPath(key), nil, "Larder-Claim", l.Claim).want(t, http.StatusNoContent)
	l = second.wantEvent(t, "granted")
	do(t, http.MethodPut, object(c.Nodes[1], key), []byte("third"), "Larder-Claim", l.Claim).want(t, http.StatusCreated)
	if n := buildsTotal(t, c, "took_over"); n < 2 {
		t.Errorf("%d builds are counted as taken over", n)
	}
}

func testWaiterLeaves(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "waiter-leaves")
	claim := granted(t, c.Nodes[1], key, `{}`)
	gone := waits(t, c.Nodes[2], key, map[string]any{"waiter": "gone"})
	next := waits(t, c.Nodes[1], key, map[string]any{})
	gone.end()
	do(t, http.MethodDelete, c.Nodes[1].URL()+buildPath(key), nil, "Larder-Claim", claim).want(t, http.StatusNoContent)
	next.wantEvent(t, "granted")
}

// A failure is told to all but its builder's own user, and readers do not build.
func TestBuildsOfUsers(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	ada, bob, rita := mint(t, "default", "ada", "writer"), mint(t, "default", "bob", "writer"), mint(t, "default", "rita", "reader")
	writeTokens(t, tokens, ada, bob, rita)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{"--tokens-file", tokens}}).Nodes[0]
	const failure = `{"error": "ValueError: no prices"}`
	key := "failure"
	claim := granted(t, n, key, `{}`, ada.bearer()...)
	w := waits(t, n, key, map[string]any{}, bob.bearer()...)
	do(t, http.MethodPut, object(n, key), []byte("x"), append(bob.bearer(), "Larder-Claim", claim)...).wantProblem(t, http.StatusConflict, "claim-lost")
	do(t, http.MethodDelete, n.URL()+buildPath(key), []byte(failure), append(ada.bearer(), "Larder-Claim", claim)...).want(t, http.StatusNoContent)
	if l := w.wantEvent(t, "failed"); l.Builder != "ada" || l.Error != "ValueError: no prices" {
		t.Errorf("the failure: %+v", l)
	}
	a := do(t, http.MethodPost, n.URL()+buildPath(key), nil, bob.bearer()...).wantProblem(t, http.StatusConflict, "build-failed")
	if l := a.line(t); l.Builder != "ada" || l.Error != "ValueError: no prices" || a.header.Get("Retry-After") == "" {
		t.Errorf("the failure: %s, Retry-After %q", a.body, a.header.Get("Retry-After"))
	}
	granted(t, n, key, `{"retry": true}`, bob.bearer()...)

	claim = granted(t, n, "own", `{}`, ada.bearer()...)
	do(t, http.MethodDelete, n.URL()+buildPath("own"), []byte(failure), append(ada.bearer(), "Larder-Claim", claim)...).want(t, http.StatusNoContent)
	granted(t, n, "own", `{}`, ada.bearer()...)
	claim = granted(t, n, "read", `{}`, ada.bearer()...)
	r := waits(t, n, "read", map[string]any{}, rita.bearer()...)
	do(t, http.MethodDelete, n.URL()+buildPath("read"), nil, append(ada.bearer(), "Larder-Claim", claim)...).want(t, http.StatusNoContent)
	if l := r.wantEvent(t, "refused"); l.Status != http.StatusForbidden {
		t.Errorf("a reader alone hears %+v", l)
	}
	do(t, http.MethodPost, n.URL()+buildPath("absent"), nil, rita.bearer()...).wantProblem(t, http.StatusForbidden, "read-only")
}

func testUnstored(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 2, "unstored")
	claim := granted(t, c.Nodes[0], key, `{}`)
	w := waits(t, c.Nodes[1], key, map[string]any{})
	do(t, http.MethodDelete, c.Nodes[1].URL()+buildPath(key), []byte(`{"unstored": "cannot pickle a lock"}`), "Larder-Claim", claim).want(t, http.StatusNoContent)
	w.wantEvent(t, "unstored")
	a := do(t, http.MethodPost, c.Nodes[1].URL()+buildPath(key), nil)
	a.wantProblem(t, http.StatusConflict, "build-unstored")
}

// Who wants a value of at most some age builds a new one; who takes any age has the old
// one at once.
func testMaxAge(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "age")
	do(t, http.MethodPut, object(c.Nodes[0], key), []byte("old")).want(t, http.StatusCreated)
	claim := granted(t, c.Nodes[1], key, `{"max_age": 0}`)
	a := do(t, http.MethodPost, c.Nodes[2].URL()+buildPath(key), nil)
	a.wantBody(t, []byte("old"))
	w := waits(t, c.Nodes[2], key, map[string]any{"max_age": 0})
	do(t, http.MethodPut, object(c.Nodes[1], key), []byte("new"), "Larder-Claim", claim).want(t, http.StatusOK)
	w.wantEvent(t, "built")
	do(t, http.MethodGet, object(c.Nodes[2], key), nil).wantBody(t, []byte("new"))
}

// A stream is cut while its builder is well, who attaches again at once.
func testCutStream(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "cut")
	proxy := testcluster.NewProxy(t, c.Nodes[1].HTTPAddr)
	s, err := attach(t.Context(), "http://"+proxy.Addr, key, "", map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	claim := s.wantEvent(t, "granted").Claim
	w := waits(t, c.Nodes[2], key, map[string]any{})
	proxy.Set(testcluster.Fault{Refuse: true})
	s, err = attach(t.Context(), c.Nodes[0].URL(), key, claim, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	if l := s.wantEvent(t, "granted"); l.Claim != claim {
		t.Errorf("another claim after the cut")
	}
	do(t, http.MethodPut, object(c.Nodes[1], key), []byte("value"), "Larder-Claim", claim).want(t, http.StatusCreated)
	w.wantEvent(t, "built")
}

func testListed(t *testing.T, c *testcluster.Cluster) {
	for i := range 3 {
		granted(t, c.Nodes[0], owned(c, i, "listed"), `{"message": "slow"}`)
	}
	a := do(t, http.MethodGet, c.Nodes[1].URL()+"/v1/builds/objects?prefix=listed/", nil).want(t, http.StatusOK)
	if n := bytes.Count(a.body, []byte(`"builder":"anonymous"`)); n != 3 {
		t.Errorf("%d of 3 builds are listed: %s", n, a.body)
	}
	var first map[string]json.RawMessage
	if err := json.Unmarshal(a.line(t).Builds[0], &first); err != nil {
		t.Fatal(err)
	}
	fields := []string{"builder", "elapsed", "expect", "key", "message", "progress", "since", "waiting"}
	if got := slices.Sorted(maps.Keys(first)); !slices.Equal(got, fields) {
		t.Errorf("a build is listed with %q, not %q", got, fields)
	}
}
