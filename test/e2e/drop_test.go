package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// removed is what a DELETE of a prefix answers, as one object or a line a page.
type removed struct {
	Deleted, Bytes int
	Failed         []struct{ Key, Type string }
	Through        string
}

// dropping is a cluster with users, who remove by prefix.
type dropping struct {
	*testcluster.Cluster
	t    *testing.T
	node int
	who  map[string]credential
}

func newDropping(t *testing.T) *dropping {
	d := &dropping{t: t, who: map[string]credential{}}
	var all []credential
	for user, role := range map[string]string{"ada": "writer", "bob": "writer", "root": "admin", "rob": "reader"} {
		d.who[user] = mint(t, "acme", user, role)
		all = append(all, d.who[user])
	}
	scoped := mint(t, "acme", "eve", "admin")
	scoped.entry["prefixes"] = []string{"own/"}
	d.who["eve"] = scoped
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, tokens, append(all, scoped)...)
	d.Cluster = testcluster.New(t, testcluster.Options{Flags: []string{"--tokens-file", tokens, "--chunk-size=64KiB"}})
	return d
}

// drop asks each node in turn.
func (d *dropping) drop(user, service, query string, headers ...string) answer {
	d.t.Helper()
	d.node++
	return do(d.t, http.MethodDelete, d.Nodes[d.node%3].URL()+"/v1/"+service+"?"+query, nil, append(headers, d.who[user].bearer()...)...)
}

func (d *dropping) want(user, service, query string, deleted, failed int) removed {
	d.t.Helper()
	var r removed
	a := d.drop(user, service, query).want(d.t, http.StatusOK)
	if err := json.Unmarshal(a.body, &r); err != nil || r.Deleted != deleted || len(r.Failed) != failed {
		d.t.Errorf("%s removes %s?%s: %s, want %d and %d that failed (%v)", user, service, query, a.body, deleted, failed, err)
	}
	for _, f := range r.Failed {
		if f.Type != "urn:larder:problem:forbidden" {
			d.t.Errorf("%s failed as %s", f.Key, f.Type)
		}
	}
	return r
}

func (d *dropping) put(user, service, key string) {
	d.t.Helper()
	d.node++
	target := d.Nodes[d.node%3].URL() + "/v1/" + service + "/" + url.PathEscape(key)
	do(d.t, http.MethodPut, target, []byte(key), d.who[user].bearer()...).want(d.t, http.StatusCreated)
}

// count is how many keys of a prefix every node serves.
func (d *dropping) count(service, prefix string) int {
	d.t.Helper()
	keys, _ := list(d.t, d.Nodes[0], service, "prefix="+url.QueryEscape(prefix), d.who["root"].bearer()...)
	for _, k := range keys {
		for _, n := range d.Nodes {
			do(d.t, http.MethodGet, n.URL()+"/v1/"+service+"/"+url.PathEscape(k.Key), nil, d.who["root"].bearer()...).want(d.t, http.StatusOK)
		}
	}
	return len(keys)
}

// TestRemoveByPrefix: who may remove what, narrowed how, and that it is gone everywhere.
func TestRemoveByPrefix(t *testing.T) {
	t.Parallel()
	d := newDropping(t)
	for i := range 5 {
		d.put("ada", "objects", fmt.Sprintf("a/%d <&ü", i))
	}
	for i := range 3 {
		d.put("bob", "objects", fmt.Sprintf("a/b%d", i))
	}
	d.put("bob", "objects", "b/stays")
	d.put("eve", "objects", "own/1")
	d.refusals()
	d.want("root", "objects", "prefix=a/&dry_run=true", 8, 0)
	d.want("ada", "objects", "prefix=a/&dry_run=true", 5, 3)
	d.want("root", "objects", "prefix=a/&dry_run=true&writer=bob", 3, 0)
	d.want("root", "objects", "prefix=a/&older_than=3600", 0, 0)
	d.want("root", "objects", "prefix=none", 0, 0)
	if got := d.count("objects", "a/"); got != 8 {
		t.Fatalf("%d are there, after nothing was to be removed", got)
	}
	if r := d.want("ada", "objects", "prefix=a/", 5, 3); r.Bytes != 5*len("a/0 <&ü") {
		t.Errorf("%d bytes", r.Bytes)
	}
	if got := d.count("objects", "a/"); got != 3 {
		t.Errorf("%d of bob's are there, want 3", got)
	}
	d.want("root", "objects", "prefix=a/&writer=ada", 0, 0)
	d.want("root", "objects", "prefix=a/&writer=bob&dry_run=false", 3, 0)
	d.want("eve", "objects", "prefix=own/", 1, 0)
	if got := d.count("objects", ""); got != 1 {
		t.Errorf("%d are left, want b/stays alone", got)
	}
	log := ""
	for _, n := range d.Nodes {
		log += n.Log()
	}
	for _, key := range []string{`a/0 <&ü`, `a/b0`} {
		text, _ := json.Marshal(key)
		if !strings.Contains(log, `"op":"drop","bytes":`) || strings.Count(log, `"key":`+string(text)) < 2 && strings.Count(log, `"key":"`+key+`"`) < 2 {
			t.Errorf("auditors are not told of %s", key)
		}
	}
}

func (d *dropping) refusals() {
	d.t.Helper()
	for query, kind := range map[string]string{
		"": "bad-query", "prefix=": "bad-query", "prefix=a&limit=3": "bad-query", "prefix=a&prefix=b": "bad-query", "prefix=a&env_hash=aa": "bad-query",
		"prefix=a&dry_run=yes": "bad-query", "prefix=a&dry_run": "bad-query", "prefix=a&older_than=-1": "bad-query", "prefix=a&older_than=": "bad-query",
		"prefix=a&writer=": "bad-query", "prefix=%00": "bad-key",
	} {
		d.drop("root", "objects", query).wantProblem(d.t, http.StatusBadRequest, kind)
	}
	for _, query := range []string{"dry_run=true", "prefix=b", "older_than=60", "writer=ada"} { // of one key, which stays
		d.drop("root", "objects", "key=b/stays&"+query).wantProblem(d.t, http.StatusBadRequest, "bad-query")
	}
	d.drop("root", "strategies", "key=DAX%7C2022-01-30T00:00:00Z%7C%7Caa&env_hash=bb").wantProblem(d.t, http.StatusBadRequest, "bad-query")
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		d.drop("root", "objects", "prefix=a", name, "*").wantProblem(d.t, http.StatusBadRequest, "bad-header")
	}
	d.drop("rob", "objects", "prefix=a").wantProblem(d.t, http.StatusForbidden, "read-only")
	d.drop("eve", "objects", "prefix=a").wantProblem(d.t, http.StatusForbidden, "out-of-scope")
	d.drop("eve", "objects", "prefix=o").wantProblem(d.t, http.StatusForbidden, "out-of-scope")
	do(d.t, http.MethodDelete, d.Nodes[0].URL()+"/v1/objects?prefix=a", nil).wantProblem(d.t, http.StatusUnauthorized, "no-credential")
}

// TestRemoveStrategies narrows by environment, and tells a line a page.
func TestRemoveStrategies(t *testing.T) {
	t.Parallel()
	d := newDropping(t)
	for _, date := range []string{"2022-01-30T00:00:00+00:00", "2022-01-31T12:30:00Z"} {
		for _, hash := range []string{"aa", "bb"} {
			d.put("ada", "strategies", "DAX|"+date+"||"+hash)
		}
	}
	d.drop("root", "strategies", "prefix=DAX&env_date=yesterday").wantProblem(t, http.StatusBadRequest, "bad-query")
	d.want("root", "strategies", "prefix=DAX&env_date=2022-01-30&dry_run=true", 2, 0)
	d.want("root", "strategies", "prefix=DAX&env_date=2022-01-30T00:00:00Z&env_hash=aa", 1, 0)
	d.want("root", "strategies", "prefix=DAX&env_hash=aa", 1, 0)
	a := d.drop("root", "strategies", "prefix=DAX", "Accept", "application/x-ndjson").want(t, http.StatusOK)
	var r removed
	if err := json.Unmarshal(a.body, &r); err != nil || bytes.Count(a.body, []byte("\n")) != 1 || r.Deleted != 2 || r.Through != "DAX|2022-01-31T12:30:00Z||bb" {
		t.Errorf("%v: %s", err, a.body)
	}
	if got := d.count("strategies", ""); got != 0 {
		t.Errorf("%d are left", got)
	}
}
