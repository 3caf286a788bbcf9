package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// TestExpiry: from its moment on an object is absent everywhere, and only then.
func TestExpiry(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Flags: []string{"--chunk-size=64KiB"}})
	for i, n := range c.Nodes {
		do(t, "PUT", object(n, fmt.Sprint("kept/", i)), []byte("kept")).want(t, 201)
	}
	beforeTheMoment(t, c)
	etags, moments := map[string]string{}, map[string]time.Time{}
	last := time.Time{}
	for i, key := range expiringKeys() {
		a := do(t, "PUT", object(c.Nodes[i%3], key), bodyOf(key), "Larder-Expires-In", "2").want(t, 201)
		etags[key], moments[key] = a.header.Get("Etag"), wantMoment(t, a, 2)
		if moments[key].After(last) {
			last = moments[key]
		}
	}
	// Three that are not what they were when the old moment comes.
	do(t, "PUT", object(c.Nodes[0], "f/lives"), []byte("old"), "Larder-Expires-In", "2").want(t, 201)
	do(t, "PUT", object(c.Nodes[1], "f/lives"), []byte("new"))
	do(t, "PUT", object(c.Nodes[0], "f/longer"), []byte("old"), "Larder-Expires-In", "2").want(t, 201)
	do(t, "PUT", object(c.Nodes[2], "f/longer"), []byte("new"), "Larder-Expires-In", "3600")
	do(t, "PUT", object(c.Nodes[0], "f/refused"), []byte("there")).want(t, 201)
	do(t, "PUT", object(c.Nodes[1], "f/refused"), []byte("new"), "Larder-Expires-In", "2", "If-None-Match", "*").wantProblem(t, 412, "precondition-failed")
	for _, n := range c.Nodes { // so that every node has them, in memory and under leases
		for key := range moments {
			do(t, "GET", object(n, key), nil)
		}
	}

	time.Sleep(time.Until(last.Add(time.Second))) // what is promised is about time
	for key := range moments {
		for _, n := range c.Nodes {
			for _, h := range [][]string{nil, {"Range", "bytes=0-0"}, {"If-None-Match", etags[key]}, {"If-Match", etags[key]}, {"Cache-Control", "no-cache"}} {
				a := do(t, "GET", object(n, key), nil, h...).wantProblem(t, 404, "not-found")
				if said := moments[key].Format(http.TimeFormat); !strings.Contains(string(a.body), said) {
					t.Errorf("the detail does not name %s: %s", said, a.body)
				}
			}
			do(t, "HEAD", object(n, key), nil).want(t, 404)
		}
	}
	for _, n := range c.Nodes {
		if got := inTwos(t, n, "e/"); len(got) > 0 {
			t.Errorf("listed after their moments: %+v", got)
		}
		if got := inTwos(t, n, "kept/"); len(got) != 3 || got[0].Expires != nil {
			t.Errorf("what does not expire is listed as %+v", got)
		}
		do(t, "GET", object(n, "f/lives"), nil).wantBody(t, []byte("new"))
		do(t, "GET", object(n, "f/longer"), nil).wantBody(t, []byte("new"))
		do(t, "GET", object(n, "f/refused"), nil).wantBody(t, []byte("there"))
		if got := inTwos(t, n, "f/"); len(got) != 3 || got[0].Expires != nil || got[1].Expires == nil || got[2].Expires != nil {
			t.Errorf("what was written anew is listed as %+v", got)
		}
	}
	overExpired(t, c, etags)
}

func expiringKeys() []string { return []string{"e/small", "e/small/er", "e/large", "e/a", "e/ab"} }

// bodyOf is what is put under a key: more than a chunk if it is large.
func bodyOf(key string) []byte {
	if strings.HasSuffix(key, "large") {
		return noise(1, 200<<10)
	}
	return []byte(key)
}

// beforeTheMoment wants answers and listings to name the moment of what lives long.
func beforeTheMoment(t *testing.T, c *testcluster.Cluster) {
	moments := map[string]time.Time{}
	etags := map[string]string{}
	for i, key := range expiringKeys() {
		key = "long/" + key
		a := do(t, "PUT", object(c.Nodes[i%3], key), bodyOf(key), "Larder-Expires-In", "3600").want(t, 201)
		etags[key], moments[key] = a.header.Get("Etag"), wantMoment(t, a, 3600)
	}
	for key, moment := range moments {
		for _, n := range c.Nodes {
			wantMomentIs(t, do(t, "GET", object(n, key), nil).wantBody(t, bodyOf(key)), moment)
			wantMomentIs(t, do(t, "HEAD", object(n, key), nil).want(t, 200), moment)
			wantMomentIs(t, do(t, "GET", object(n, key), nil, "Range", "bytes=0-0").want(t, 206), moment)
			wantMomentIs(t, do(t, "GET", object(n, key), nil, "If-None-Match", etags[key]).want(t, 304), moment)
		}
	}
	for _, n := range c.Nodes {
		got := inTwos(t, n, "long/")
		if len(got) != len(moments) || slices.ContainsFunc(got, func(l listed) bool { return l.Expires == nil || !l.Expires.Equal(moments[l.Key]) }) {
			t.Errorf("listed %+v, want the moments %v", got, moments)
		}
	}
}

// overExpired writes over what has expired: it is absent for every condition.
func overExpired(t *testing.T, c *testcluster.Cluster, etags map[string]string) {
	for key, etag := range etags {
		for _, n := range c.Nodes {
			do(t, "DELETE", object(n, key), nil).wantProblem(t, 404, "not-found")
			do(t, "PUT", object(n, key), []byte("x"), "If-Match", etag).wantProblem(t, 412, "precondition-failed")
			do(t, "PUT", object(n, key), []byte("x"), "If-Match", "*").wantProblem(t, 412, "precondition-failed")
		}
	}
	do(t, "PUT", object(c.Nodes[0], "e/small"), []byte("1"), "If-None-Match", "*").want(t, 201)
	do(t, "PUT", object(c.Nodes[1], "e/small"), []byte("2"), "If-None-Match", "*").wantProblem(t, 412, "precondition-failed")
	do(t, "PUT", object(c.Nodes[2], "e/a"), []byte("2")).want(t, 201)
	large := noise(2, 200<<10)
	do(t, "PUT", object(c.Nodes[0], "e/large"), large, "If-None-Match", "*").want(t, 201)
	for _, n := range c.Nodes {
		a := do(t, "GET", object(n, "e/small"), nil).wantBody(t, []byte("1"))
		if a.header.Get("Expires") != "" {
			t.Error("what was written over it expires")
		}
		do(t, "GET", object(n, "e/large"), nil).wantBody(t, large)
		if got := inTwos(t, n, "e/"); len(got) != 3 {
			t.Errorf("listed %+v", got)
		}
	}
}

// inTwos are the keys of a prefix, with their moments, in pages of two.
func inTwos(t *testing.T, n *testcluster.Node, prefix string) (all []listed) {
	t.Helper()
	query := "limit=2&prefix=" + prefix
	for cursor := ""; ; {
		page, next := list(t, n, "objects", query+"&cursor="+cursor)
		all = append(all, page...)
		if cursor = next; next == "" {
			return all
		}
	}
}

// wantMoment is the moment of an answer, which is so many seconds from now.
func wantMoment(t *testing.T, a answer, in int) time.Time {
	t.Helper()
	moment, err := http.ParseTime(a.header.Get("Expires"))
	if left := time.Until(moment); err != nil || left > time.Duration(in+1)*time.Second {
		t.Fatalf("Expires %q, in %s, want in %d s", a.header.Get("Expires"), left, in)
	}
	return moment
}

func wantMomentIs(t *testing.T, a answer, moment time.Time) {
	t.Helper()
	if got := a.header.Get("Expires"); got != moment.UTC().Format(http.TimeFormat) {
		t.Errorf("%s: Expires %q, want %s", a.method, got, moment)
	}
}

// TestMaxAge: a reader says how old an object may be.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 1})
	n := c.Nodes[0]
	etag := do(t, "PUT", object(n, "aged"), []byte("x")).want(t, 201).header.Get("Etag")
	do(t, "GET", object(n, "aged"), nil, "Larder-Max-Age", "60").wantBody(t, []byte("x"))
	for _, wrong := range []string{"-1", "1.5", "soon", ""} {
		do(t, "GET", object(n, "aged"), nil, "Larder-Max-Age", wrong).wantProblem(t, 400, "bad-header")
		do(t, "PUT", object(n, "aged"), []byte("x"), "Larder-Expires-In", wrong).wantProblem(t, 400, "bad-header")
	}
	do(t, "PUT", object(n, "aged"), []byte("x"), "Larder-Expires-In", "0").wantProblem(t, 400, "bad-header")
	testcluster.Holds(t, "it is too old", func() bool { return do(t, "GET", object(n, "aged"), nil, "Larder-Max-Age", "1").status == 412 })
	for _, method := range []string{"GET", "HEAD"} {
		a := do(t, method, object(n, "aged"), nil, "Larder-Max-Age", "1", "If-None-Match", etag).wantProblem(t, 412, "too-old")
		if a.header.Get("Etag") != etag || a.header.Get("Last-Modified") == "" {
			t.Errorf("%s: too old without what tells it: %v", method, a.header)
		}
	}
}
