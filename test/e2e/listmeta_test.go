package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"larder/test/testcluster"
)

// TestListsWithMetadata: what owners know of each key costs the store nothing, and what
// they do not know one request each.
func TestListsWithMetadata(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{})
	const keys = 30
	for i := range keys {
		do(t, http.MethodPut, object(c.Nodes[i%3], fmt.Sprintf("m/%02d", i)), []byte("x"), "Content-Type", "text/x-m", "Larder-Expires-In", "3600",
			"Larder-Meta-Build-Seconds", "2.5", "Larder-Meta-Python", "3.12.1", "Larder-Meta-Libraries", "numpy=2.1", "Larder-Meta-Code", "abc").want(t, http.StatusCreated)
	}
	do(t, http.MethodPut, object(c.Nodes[0], "m/plain"), nil).want(t, http.StatusCreated)
	look := func(n *testcluster.Node, accept string) (cost int) {
		t.Helper()
		before := c.S3Requests("head", "get")
		a := do(t, http.MethodGet, n.URL()+"/v1/objects?prefix=m/&meta=true", nil, "Accept", accept).want(t, http.StatusOK)
		cost = c.S3Requests("head", "get") - before
		wantMetadata(t, a.body, accept == "application/x-ndjson", keys)
		return cost
	}
	for _, n := range c.Nodes {
		if cost := look(n, "application/json"); cost != 0 {
			t.Errorf("%d requests for what the owners know", cost)
		}
	}
	for _, n := range c.Nodes {
		n.Stop()
	}
	for _, n := range c.Nodes {
		n.Start()
	}
	c.WaitMembers(3)
	if cost := look(c.Nodes[1], "application/x-ndjson"); cost > keys+1 {
		t.Errorf("%d requests for %d heads", cost, keys+1)
	}
	do(t, http.MethodGet, c.Nodes[0].URL()+"/v1/objects?meta=yes", nil).wantProblem(t, http.StatusBadRequest, "bad-query")
}

// wantMetadata wants what was put of so many keys, and nulls of the last one.
func wantMetadata(t *testing.T, body []byte, lines bool, keys int) {
	t.Helper()
	var page struct{ Keys []map[string]any }
	if lines {
		body = fmt.Appendf(nil, `{"keys": [%s]}`, bytes.ReplaceAll(bytes.TrimSpace(body), []byte("\n"), []byte(",")))
	}
	if err := json.Unmarshal(body, &page); err != nil || len(page.Keys) != keys+1 {
		t.Fatalf("%v: %d keys: %.300s", err, len(page.Keys), body)
	}
	for i, k := range page.Keys {
		want := map[string]any{"content_type": "text/x-m", "build_seconds": 2.5, "python": "3.12.1", "libraries": "numpy=2.1", "code": "abc"}
		if i == keys {
			want = map[string]any{"content_type": "application/octet-stream", "build_seconds": nil, "python": nil, "libraries": nil, "code": nil}
		}
		for name, value := range want {
			if got, is := k[name]; !is || got != value {
				t.Errorf("%v: %s is %v, want %v", k["key"], name, got, value)
			}
		}
		if expires, is := k["expires"]; !is || (expires == nil) != (i == keys) {
			t.Errorf("%v expires %v", k["key"], expires)
		}
	}
}
