package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// sessionKeys are those of a research session.
func sessionKeys() []string {
	const env = " REINV STRATEGY|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e"
	return []string{"AAPL" + env, "MSFT" + env, "NFLX" + env, "CSCO" + env}
}

const makePickle = `
import pickle, random, sys
name = sys.argv[1]
rng = random.Random(name)
sys.stdout.buffer.write(pickle.dumps({"name": name, "weights": [rng.random() for _ in range(40_000)]}))`

// A session: put through one node, read through the others, list, delete
// through a third, lose all nodes at once and find the rest again.
func TestSession(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{})
	n := c.Nodes
	pickles := map[string][]byte{}
	for _, key := range sessionKeys() {
		pickles[key] = run(t, nil, nil, python(t), "-c", makePickle, key)
		if len(pickles[key]) < 200_000 {
			t.Fatalf("a pickle of %d bytes", len(pickles[key]))
		}
		a := do(t, http.MethodPut, strategy(n[0], key), pickles[key]).want(t, http.StatusCreated)
		if a.header.Get("ETag") == "" {
			t.Fatal("a put without an ETag")
		}
	}
	for _, key := range sessionKeys() {
		for _, node := range n {
			for range 2 {
				a := do(t, http.MethodGet, strategy(node, key), nil).wantBody(t, pickles[key])
				if s := a.header.Get("Cache-Status"); !strings.HasPrefix(s, "larder; hit; detail=") {
					t.Errorf("%s was just written and read, and %s says Cache-Status %q", key, node.Name, s)
				}
			}
		}
	}
	if gets := c.S3Requests("get", "get_range", "head"); gets != 0 {
		t.Errorf("S3 was read %d times for what was just written", gets)
	}

	apple := sessionKeys()[0]
	keys, _ := list(t, n[1], "strategies", "prefix=AAPL")
	want := listed{
		Key: apple, Size: int64(len(pickles[apple])), Name: "AAPL REINV STRATEGY",
		EnvDate: "2022-01-30T00:00:00+00:00", EnvHash: "41160d054edf7f0960015019d902b27e",
	}
	if len(keys) == 1 {
		want.ETag = keys[0].ETag
	}
	if !slices.Equal(keys, []listed{want}) || want.ETag == "" {
		t.Errorf("listed by the prefix AAPL: %+v, want %+v", keys, want)
	}

	do(t, http.MethodDelete, strategy(n[2], apple), nil).want(t, http.StatusNoContent)
	gone := func() {
		t.Helper()
		for _, node := range n {
			do(t, http.MethodGet, strategy(node, apple), nil).wantProblem(t, http.StatusNotFound, "not-found")
			do(t, http.MethodHead, strategy(node, apple), nil).want(t, http.StatusNotFound)
		}
		if keys, _ := list(t, n[0], "strategies", "prefix=AAPL"); len(keys) != 0 {
			t.Errorf("deleted and still listed: %+v", keys)
		}
	}
	gone()

	for _, node := range n {
		node.Kill()
	}
	for _, node := range n {
		node.Launch()
	}
	for _, node := range n {
		node.WaitReady()
	}
	c.WaitMembers(len(n))
	gone()
	for _, key := range sessionKeys()[1:] {
		for _, node := range n {
			do(t, http.MethodGet, strategy(node, key), nil).wantBody(t, pickles[key])
		}
	}
}

// A node alone with the embedded store loses nothing by kill -9 either.
func TestAlone(t *testing.T) {
	t.Parallel()
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true}).Nodes[0]
	body := noise(1, 300_000)
	do(t, http.MethodPut, object(n, "kept"), body).want(t, http.StatusCreated)
	do(t, http.MethodPut, object(n, "removed"), body).want(t, http.StatusCreated)
	do(t, http.MethodDelete, object(n, "removed"), nil).want(t, http.StatusNoContent)
	n.Kill()
	n.Start()
	do(t, http.MethodGet, object(n, "kept"), nil).wantBody(t, body)
	do(t, http.MethodGet, object(n, "removed"), nil).wantProblem(t, http.StatusNotFound, "not-found")
	run(t, nil, nil, testcluster.Build(t), "check", n.URL())
	n.Stop()
}
