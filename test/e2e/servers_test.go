//go:build s3suite

package e2e

import (
	"bytes"
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
)

// onServer is two nodes on the S3 server that the environment names, as
// storetest.FromEnvironment has it. The bucket has to be "larder".
func onServer(t *testing.T, o testcluster.Options) *testcluster.Cluster {
	t.Helper()
	endpoint, err := url.Parse(os.Getenv("LARDER_S3_ENDPOINT"))
	if err != nil || endpoint.Scheme != "http" || endpoint.Host == "" {
		t.Fatalf("LARDER_S3_ENDPOINT is %q: it is the http:// URL of the server", os.Getenv("LARDER_S3_ENDPOINT"))
	}
	env := []string{}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} {
		env = append(env, name+"="+os.Getenv(name))
	}
	o.Nodes, o.S3Addr, o.Env, o.Flags = 2, endpoint.Host, append(env, o.Env...), append(o.Flags, "--chunk-size", "5MiB")
	return testcluster.New(t, o)
}

// TestServer wants the life of nodes to go its way on the server that the environment
// names: what researchers do with objects, from one node to the other and over the
// death of both, and "node check".
func TestServer(t *testing.T) {
	c := onServer(t, testcluster.Options{})
	newLife(t, c).all()
	endpoint := os.Getenv("LARDER_S3_ENDPOINT")
	t.Logf("%s", run(t, nil, nil, testcluster.Build(t), "check", c.Nodes[0].URL(), c.Nodes[1].URL(),
		"--s3-bucket", "larder", "--s3-endpoint", endpoint, "--s3-path-style"))
}

// life is what becomes of objects, each step under keys of its own.
type life struct {
	*testcluster.Cluster
	t      *testing.T
	folder string // begins all keys, and no other life's
}

func newLife(t *testing.T, c *testcluster.Cluster) life {
	return life{Cluster: c, t: t, folder: strings.ToLower(crand.Text()) + "/"}
}

// object is where a node has a key of this life.
func (l life) object(node int, key string) string { return object(l.Nodes[node], l.folder+key) }

func (l life) all() {
	for _, step := range []struct {
		name string
		do   func(life)
	}{
		{"small", life.small}, {"large", life.large}, {"keys", life.keys}, {"pages", life.pages},
		{"overwritten", life.overwritten}, {"expiry", life.expiry}, {"restart", life.restart},
	} {
		l.t.Run(step.name, func(t *testing.T) { step.do(life{l.Cluster, t, l.folder}) })
	}
}

// write puts through each node in turn, under each condition, and deletes.
func (l life) write(key string, first, second []byte) {
	one, two := l.object(0, key), l.object(1, key)
	do(l.t, "GET", one, nil).wantProblem(l.t, 404, "not-found")
	before := do(l.t, "PUT", one, first, "Content-Type", "text/plain", "Larder-Meta-Kind", "first").want(l.t, 201).header.Get("Etag")
	do(l.t, "GET", two, nil).wantBody(l.t, first)
	do(l.t, "PUT", two, second, "If-None-Match", "*").wantProblem(l.t, 412, "precondition-failed")
	do(l.t, "PUT", two, second, "If-Match", `"00000000000000000000000000000000"`).wantProblem(l.t, 412, "precondition-failed")
	do(l.t, "GET", two, nil, "Cache-Control", "no-cache").wantBody(l.t, first)
	after := do(l.t, "PUT", two, second, "If-Match", before).want(l.t, 200).header.Get("Etag")
	for _, target := range []string{one, two} {
		do(l.t, "GET", target, nil).wantBody(l.t, second)
		do(l.t, "GET", target, nil, "If-None-Match", after).want(l.t, 304)
		do(l.t, "GET", target, nil, "Cache-Control", "no-cache").wantBody(l.t, second)
		if part := do(l.t, "GET", target, nil, "Range", "bytes=1-3").want(l.t, 206); !bytes.Equal(part.body, second[1:4]) {
			l.t.Errorf("the range is %q", part.body)
		}
	}
	do(l.t, "DELETE", one, nil, "If-Match", before).wantProblem(l.t, 412, "precondition-failed")
	do(l.t, "DELETE", one, nil, "If-Match", after).want(l.t, 204)
	for _, target := range []string{one, two} {
		do(l.t, "GET", target, nil).wantProblem(l.t, 404, "not-found")
	}
}

func (l life) small() { l.write("small", []byte("first"), []byte("second")) }

// large writes more than two chunks, and has an upload broken off over an object.
func (l life) large() {
	body := noise(1, 11<<20)
	l.write("large", body, noise(2, 12<<20))
	do(l.t, "PUT", l.object(0, "kept"), body, "Repr-Digest", digestOf(body)).want(l.t, 201)
	do(l.t, "PUT", l.object(1, "kept"), noise(3, 11<<20), "Repr-Digest", digestOf(body)).wantProblem(l.t, 400, "bad-digest")
	for _, n := range l.Nodes {
		do(l.t, "GET", object(n, l.folder+"kept"), nil, "Cache-Control", "no-cache").wantBody(l.t, body)
	}
}

// keys writes under keys that are hard to name, which stay apart and are listed.
func (l life) keys() {
	odd := []string{"a b+c", "a%2Fb", "a/b/../c", "a//b", "é", "e\u0301", "a|b=c&d", "漢/字", ".", "x/", "x"}
	for i, key := range odd {
		do(l.t, "PUT", l.object(i%2, "odd/"+key), []byte(key)).want(l.t, 201)
	}
	for _, key := range odd {
		do(l.t, "GET", l.object(0, "odd/"+key), nil, "Cache-Control", "no-cache").wantBody(l.t, []byte(key))
	}
	found, _ := list(l.t, l.Nodes[1], "objects", "prefix="+l.folder+"odd/")
	var got, want []string
	for i, f := range found {
		got = append(got, f.Key)
		want = append(want, l.folder+"odd/"+odd[i%len(odd)])
	}
	if len(found) != len(odd) || fmt.Sprint(sorted(got)) != fmt.Sprint(sorted(want)) {
		l.t.Errorf("listed %q", got)
	}
	do(l.t, "DELETE", l.object(0, "odd/é"), nil).want(l.t, 204)
	do(l.t, "GET", l.object(1, "odd/e\u0301"), nil, "Cache-Control", "no-cache").wantBody(l.t, []byte("e\u0301"))
}

// pages lists, and removes, more keys than S3 lists or removes in one request.
func (l life) pages() {
	const count = 1100
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := w; i < count; i += 8 {
				a, err := send(l.t.Context(), http.MethodPut, l.object(i%2, fmt.Sprintf("pages/%04d", i)), []byte("x"))
				if err != nil || a.status != http.StatusCreated {
					l.t.Errorf("put %d: %d %s %v", i, a.status, a.body, err)
				}
			}
		})
	}
	writers.Wait()
	var all []string
	for cursor, more := "", true; more; more = cursor != "" {
		var page []listed
		page, cursor = list(l.t, l.Nodes[0], "objects", "prefix="+l.folder+"pages/&limit=300&cursor="+url.QueryEscape(cursor))
		for _, k := range page {
			all = append(all, k.Key)
		}
	}
	if want := fmt.Sprintf("%spages/%04d", l.folder, count-1); len(all) != count || sorted(all)[count-1] != want {
		l.t.Errorf("%d keys are listed", len(all))
	}
	gone := do(l.t, "DELETE", l.Nodes[1].URL()+"/v1/objects?prefix="+l.folder+"pages/", nil).want(l.t, 200)
	var r removed
	if err := json.Unmarshal(gone.body, &r); err != nil || r.Deleted != count {
		l.t.Errorf("removed: %s %v", gone.body, err)
	}
	if left, _ := list(l.t, l.Nodes[0], "objects", "prefix="+l.folder+"pages/"); len(left) > 0 {
		l.t.Errorf("%d are left", len(left))
	}
}

// overwritten reads through both nodes, and past their memory, while one writer
// replaces an object: nobody sees a mixture, nor what is older than the last write that
// was acknowledged before the read began. Reads that fail are counted apart: they are
// no wrong bytes.
func (l life) overwritten() {
	target := l.object(0, "over")
	version := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%08d", i), 1000+i) }
	do(l.t, "PUT", target, version(0)).want(l.t, 201)
	var acknowledged, reads, failed atomic.Int64
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		readers.Go(func() {
			for !isClosed(stop) {
				least := int(acknowledged.Load())
				a, err := send(l.t.Context(), http.MethodGet, l.object(i%2, "over"), nil, "Cache-Control", []string{"max-age=60", "no-cache"}[i/2])
				reads.Add(1)
				if err == nil && a.status >= 500 {
					failed.Add(1)
					continue
				}
				var got int
				if err == nil && a.status == http.StatusOK {
					_, err = fmt.Sscanf(string(a.body[:8]), "%d", &got)
				}
				if err != nil || a.status != http.StatusOK || got < least || !bytes.Equal(a.body, version(got)) {
					l.t.Errorf("after write %d: %d, %d bytes, %.80s %v", least, a.status, len(a.body), a.body, err)
				}
			}
		})
	}
	for i := 1; i <= 200; i++ {
		do(l.t, "PUT", target, version(i)).want(l.t, 200)
		acknowledged.Store(int64(i))
	}
	close(stop)
	readers.Wait()
	if failed.Load() > 0 {
		l.t.Errorf("%d of %d reads failed", failed.Load(), reads.Load())
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (l life) expiry() {
	do(l.t, "PUT", l.object(0, "expires"), []byte("x"), "Larder-Expires-In", "1").want(l.t, 201)
	testcluster.Eventually(l.t, 20*time.Second, "the object has expired", func() error {
		return do(l.t, "GET", l.object(1, "expires"), nil).problem(404, "not-found")
	})
}

// restart kills both nodes and starts them again.
func (l life) restart() {
	small, large := []byte("small"), noise(4, 11<<20)
	do(l.t, "PUT", l.object(0, "restart/small"), small, "Content-Type", "text/plain", "Larder-Meta-Kind", "first").want(l.t, 201)
	do(l.t, "PUT", l.object(1, "restart/large"), large, "Content-Type", "text/plain", "Larder-Meta-Kind", "first").want(l.t, 201)
	do(l.t, "PUT", l.object(0, "restart/small.html"), small).want(l.t, 201)
	for _, n := range l.Nodes {
		n.Kill()
	}
	for _, n := range l.Nodes {
		n.Launch()
	}
	for _, n := range l.Nodes {
		n.WaitReady()
	}
	l.WaitMembers(2)
	for key, body := range map[string][]byte{"restart/small": small, "restart/large": large} {
		a := do(l.t, "GET", l.object(0, key), nil).wantBody(l.t, body)
		if got := a.header.Get("Content-Type") + " " + a.header.Get("Larder-Meta-Kind"); got != "text/plain first" {
			l.t.Errorf("%s came back as %q", key, strings.TrimSpace(got))
		}
	}
	if got := do(l.t, "GET", l.object(0, "restart/small.html"), nil).wantBody(l.t, small).header.Get("Content-Type"); got != "application/octet-stream" {
		l.t.Errorf("what was put without a type came back as %q", got)
	}
}
