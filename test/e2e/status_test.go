package e2e

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

// chunk is --chunk-size and --max-object-size of the cluster of these tests.
const chunk = 64 << 10

// TestStatuses holds the answers that docs/http.md promises, on one cluster.
func TestStatuses(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Flags: []string{"--chunk-size=64KiB", "--max-object-size=64KiB"}})
	for _, theme := range []struct {
		name string
		test func(*testing.T, *testcluster.Cluster)
	}{
		{"dates", testDates},
		{"bad requests", testBadRequests},
		{"odd keys", testOddKeys},
		{"digests", testDigests},
		{"conditions", testConditions},
		{"ranges", testRanges},
		{"metadata", testMetadata},
		{"sizes", testSizes},
		{"raw bodies", testRawBodies},
		{"create races", testCreateRaces},
		{"lists", testLists},
	} {
		t.Run(theme.name, func(t *testing.T) { theme.test(t, c) })
	}
}

func testBadRequests(t *testing.T, c *testcluster.Cluster) {
	const strategyKey = "A|2022-01-30T00:00:00Z||ab"
	for _, tt := range []struct {
		name, method, path string
		status             int
		problem            string
		headers            []string
	}{
		{"control character", "PUT", "/v1/objects/a%0Ab", 400, "bad-key", nil},
		{"NUL", "GET", "/v1/objects/a%00", 400, "bad-key", nil},
		{"C1 control character", "GET", "/v1/objects/a%C2%85b", 400, "bad-key", nil},
		{"513 bytes", "PUT", "/v1/objects/" + strings.Repeat("a", 513), 400, "bad-key", nil},
		{"not UTF-8", "PUT", "/v1/objects/%FF", 400, "bad-key", nil},
		{"not UTF-8 in the query", "GET", "/v1/objects?key=%FF", 400, "bad-key", nil},
		{"empty key in the query", "GET", "/v1/objects?key=", 400, "bad-key", nil},
		{"key given twice", "GET", "/v1/objects/a?key=b", 400, "bad-key", nil},
		{"key too long for S3 once encoded", "PUT", "/v1/objects/" + strings.Repeat("%25", 500), 400, "bad-key", nil},
		{"bad escape in the query", "GET", "/v1/objects?key=%zz", 400, "bad-query", nil},
		{"bad escape in a list", "GET", "/v1/objects?prefix=%zz", 400, "bad-query", nil},
		{"no strategy key", "PUT", "/v1/strategies/AAPL", 400, "bad-key", nil},
		{"strategy key without a name", "PUT", "/v1/strategies/%7C2022-01-30T00:00:00Z%7C%7Cab", 400, "bad-key", nil},
		{"strategy key with a bad date", "PUT", "/v1/strategies/A%7C2022-13-30T00:00:00Z%7C%7Cab", 400, "bad-key", nil},
		{"strategy key with a bad hash", "PUT", "/v1/strategies/A%7C2022-01-30T00:00:00Z%7C%7CAB", 400, "bad-key", nil},
		{"no such service", "GET", "/v1/things/a", 404, "no-route", nil},
		{"no such version", "GET", "/v2/objects/a", 404, "no-route", nil},
		{"root", "GET", "/", 404, "no-route", nil},
		{"absent", "GET", "/v1/objects/never-put", 404, "not-found", nil},
		{"absent strategy", "GET", "/v1/strategies/" + url.PathEscape(strategyKey), 404, "not-found", nil},
		{"delete of what is absent", "DELETE", "/v1/objects/never-put", 404, "not-found", nil},
		{"POST", "POST", "/v1/objects/a", 405, "method-not-allowed", nil},
		{"PATCH", "PATCH", "/v1/objects/a", 405, "method-not-allowed", nil},
		{"PUT without a key", "PUT", "/v1/objects", 405, "method-not-allowed", nil},
		{"PUT of an empty key", "PUT", "/v1/objects/", 405, "method-not-allowed", nil},
		{"DELETE of everything", "DELETE", "/v1/objects", 400, "bad-query", nil},
		{"PUT of whoami", "PUT", "/v1/whoami", 405, "method-not-allowed", nil},
		{"limit 0", "GET", "/v1/objects?limit=0", 400, "bad-query", nil},
		{"limit of letters", "GET", "/v1/objects?limit=x", 400, "bad-query", nil},
		{"unknown parameter", "GET", "/v1/objects?prefx=a", 400, "bad-query", nil},
		{"filter of strategies on objects", "GET", "/v1/objects?env_hash=ab", 400, "bad-query", nil},
		{"a prefix twice", "GET", "/v1/objects?prefix=a&prefix=b", 400, "bad-query", nil},
		{"a key twice", "GET", "/v1/objects?key=a&key=b", 400, "bad-key", nil},
		{"bad cursor", "GET", "/v1/objects?cursor=%2A", 400, "bad-query", nil},
		{"bad date", "GET", "/v1/strategies?env_date=yesterday", 400, "bad-query", nil},
		{"bad prefix", "GET", "/v1/objects?prefix=%FF", 400, "bad-key", nil},
		{"a form", "PUT", "/v1/objects/a", 415, "form", []string{"Content-Type", "multipart/form-data; boundary=x"}},
		{"compressed body", "PUT", "/v1/objects/a", 400, "bad-header", []string{"Content-Encoding", "gzip"}},
		{"part of a body", "PUT", "/v1/objects/a", 400, "bad-header", []string{"Content-Range", "bytes 0-0/2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body []byte
			if tt.method == "PUT" {
				body = []byte("x")
			}
			a := do(t, tt.method, c.Nodes[0].URL()+tt.path, body, tt.headers...).wantProblem(t, tt.status, tt.problem)
			if allow := a.header.Get("Allow"); (tt.status == http.StatusMethodNotAllowed) != (allow != "") {
				t.Errorf("Allow: %q with %d", allow, tt.status)
			}
		})
	}
	if keys, _ := list(t, c.Nodes[0], "objects", "prefix=a"); len(keys) != 0 {
		t.Errorf("refused, and listed all the same: %v", keys)
	}
}

// testOddKeys puts keys through one node in one spelling and finds them
// through another in others.
func testOddKeys(t *testing.T, c *testcluster.Cluster) {
	odd := map[string][]byte{}
	for i, key := range []string{
		"a//b", "a/b", "a", "a/", "/a", "//", "..", ".", "../..", "a/../b", "a/./b", "a b", "a+b", "a%b", "a%2Fb", "a|b", "a||b",
		`a\b`, "a?b", "a#b", "a&key=b", "ключ", "鍵", "🔑", "\u00e9", "e\u0301", "a:b;c,d", `"quoted"`, "<x>", "*", "~", "-", "_",
		strings.Repeat("x", 512), strings.Repeat("d/", 150), strings.Repeat("ä", 200), "CON", "a\u2028b", "con~1", "a.", " a", "a ",
	} {
		key = "odd " + key
		body := fmt.Appendf(nil, "%d: %q", i, key)
		if len(key) > 512 {
			key = key[len("odd "):]
		}
		odd[key] = body
		do(t, "PUT", object(c.Nodes[i%3], key), body).want(t, 201)
	}
	for key, body := range odd {
		for _, target := range []string{
			object(c.Nodes[1], key),
			c.Nodes[2].URL() + "/v1/objects?key=" + url.QueryEscape(key),
			c.Nodes[0].URL() + "/v1/objects/" + strings.ReplaceAll(url.PathEscape(key), "%2F", "/"),
		} {
			do(t, "GET", target, nil).wantBody(t, body)
		}
	}
	var found []string
	for query := "prefix=odd&limit=7"; query != ""; {
		page, cursor := list(t, c.Nodes[0], "objects", query)
		for _, k := range page {
			found = append(found, k.Key)
		}
		if query = ""; cursor != "" {
			query = "prefix=odd&limit=7&cursor=" + url.QueryEscape(cursor)
		}
	}
	var want []string
	for key := range maps.Keys(odd) {
		if strings.HasPrefix(key, "odd") {
			want = append(want, key)
		}
	}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("listed %q\nwant %q", found, want)
	}
	for key := range odd {
		do(t, "DELETE", object(c.Nodes[2], key), nil).want(t, 204)
		do(t, "GET", object(c.Nodes[0], key), nil).wantProblem(t, 404, "not-found")
	}
}

func testDigests(t *testing.T, c *testcluster.Cluster) {
	body := []byte("what the digest is of")
	s256, s512 := sha256.Sum256(body), sha512.Sum512(body)
	right256 := "sha-256=:" + base64.StdEncoding.EncodeToString(s256[:]) + ":"
	right512 := "sha-512=:" + base64.StdEncoding.EncodeToString(s512[:]) + ":"
	wrong256 := "sha-256=:" + base64.StdEncoding.EncodeToString(s512[:32]) + ":"
	wrong512 := "sha-512=:" + base64.StdEncoding.EncodeToString(append(s256[:], s256[:]...)) + ":"
	for _, header := range []string{"Content-Digest", "Repr-Digest"} {
		for i, tt := range []struct {
			value string
			ok    bool
		}{
			{right256, true}, {right512, true}, {right256 + ", " + right512, true}, {"md5=:AAAA:, " + right256, true}, {"unixsum=:AAAA:", true},
			{wrong256, false}, {wrong512, false}, {right256 + ", " + wrong512, false}, {"sha-256=AAAA", false},
			{"sha-256=:%%%:", false}, {"sha-256", false}, {"sha-256=:AAAA:", false}, {"=", false},
		} {
			key := fmt.Sprintf("digest/%s/%d", header, i)
			a := do(t, "PUT", object(c.Nodes[i%3], key), body, header, tt.value)
			if tt.ok {
				a.want(t, 201)
				if got := do(t, "GET", object(c.Nodes[0], key), nil).wantBody(t, body).header.Get("Repr-Digest"); got != right256 {
					t.Errorf("Repr-Digest %q, want %q", got, right256)
				}
				continue
			}
			a.wantProblem(t, 400, "bad-digest")
			do(t, "GET", object(c.Nodes[0], key), nil).wantProblem(t, 404, "not-found")
		}
	}
}

func testConditions(t *testing.T, c *testcluster.Cluster) {
	at := func(i int) string { return object(c.Nodes[i], "conditions") }
	v1 := do(t, "PUT", at(0), []byte("one"), "If-None-Match", "*").want(t, 201).header.Get("ETag")
	do(t, "PUT", at(1), []byte("two"), "If-None-Match", "*").wantProblem(t, 412, "precondition-failed")
	do(t, "PUT", at(2), []byte("two"), "If-Match", `"another"`).wantProblem(t, 412, "precondition-failed")
	do(t, "PUT", object(c.Nodes[2], "absent"), []byte("two"), "If-Match", "*").wantProblem(t, 412, "precondition-failed")
	do(t, "PUT", object(c.Nodes[2], "absent"), []byte("two"), "If-Match", v1).wantProblem(t, 412, "precondition-failed")
	do(t, "PUT", at(0), []byte("two"), "If-None-Match", v1).wantProblem(t, 400, "bad-header")
	do(t, "PUT", at(0), []byte("two"), "If-Match", "W/"+v1).wantProblem(t, 400, "bad-header")
	do(t, "GET", at(2), nil).wantBody(t, []byte("one"))
	v2 := do(t, "PUT", at(2), []byte("two"), "If-Match", v1).want(t, 200).header.Get("ETag")
	v3 := do(t, "PUT", at(1), []byte("three"), "If-Match", "*").want(t, 200).header.Get("ETag")
	v4 := do(t, "PUT", at(1), []byte("four"), "If-Match", v2+", "+v3).want(t, 200).header.Get("ETag")
	do(t, "PUT", at(0), []byte("five"), "If-Match", v3).wantProblem(t, 412, "precondition-failed")
	for i := range c.Nodes {
		for _, method := range []string{"GET", "HEAD"} {
			a := do(t, method, at(i), nil, "If-None-Match", v1+", "+v4).want(t, 304)
			if a.header.Get("ETag") != v4 || len(a.body) != 0 {
				t.Errorf("304 with ETag %s, want %s, and %d bytes", a.header.Get("ETag"), v4, len(a.body))
			}
			do(t, method, at(i), nil, "If-None-Match", "*").want(t, 304)
			do(t, method, at(i), nil, "If-None-Match", v1).want(t, 200)
			do(t, method, at(i), nil, "If-Match", v4).want(t, 200)
			do(t, method, at(i), nil, "If-Match", v1).want(t, 412)
			do(t, method, object(c.Nodes[i], "absent"), nil, "If-None-Match", "*").want(t, 404)
		}
		do(t, "GET", at(i), nil, "If-Match", v1).wantProblem(t, 412, "precondition-failed")
	}
	do(t, "DELETE", at(0), nil, "If-Match", v1).wantProblem(t, 412, "precondition-failed")
	do(t, "DELETE", object(c.Nodes[2], "absent"), nil, "If-Match", "*").wantProblem(t, 412, "precondition-failed")
	do(t, "DELETE", at(0), nil, "If-None-Match", "*").wantProblem(t, 400, "bad-header")
	do(t, "GET", at(2), nil).wantBody(t, []byte("four"))
	do(t, "DELETE", at(2), nil, "If-Match", v4).want(t, 204)
	do(t, "PUT", at(1), []byte("again")).want(t, 201)
	do(t, "PUT", at(2), []byte("again")).want(t, 200)
	do(t, "DELETE", at(0), nil, "If-Match", "*").want(t, 204)
}

// testDates replaces an object within one second: who fetched the first version,
// and asks with a date of his own, is not told that it is there still.
func testDates(t *testing.T, c *testcluster.Cluster) {
	at := func(i int) string { return object(c.Nodes[i], "dated") }
	var own string
	for {
		began := time.Now()
		do(t, "PUT", at(0), []byte("old"))
		if got := do(t, "GET", at(1), nil).wantBody(t, []byte("old")).header.Get("Last-Modified"); got != "" {
			t.Errorf("a new object has the date %s", got)
		}
		do(t, "PUT", at(0), []byte("new")).want(t, 200)
		if own = began.UTC().Format(http.TimeFormat); own == time.Now().UTC().Format(http.TimeFormat) {
			break // all of this in one second
		}
	}
	var dated string
	testcluster.Eventually(t, 20*time.Second, "the object has a date", func() error {
		if dated = do(t, "HEAD", at(1), nil).header.Get("Last-Modified"); dated == "" {
			return errors.New("it has none")
		}
		return nil
	})
	for i := range c.Nodes {
		do(t, "GET", at(i), nil, "If-Modified-Since", own).wantBody(t, []byte("new"))
		do(t, "GET", at(i), nil, "If-Modified-Since", dated).want(t, 304)
		do(t, "GET", at(i), nil, "Range", "bytes=0-0", "If-Range", own).want(t, 200)
		do(t, "GET", at(i), nil, "Range", "bytes=0-0", "If-Range", dated).want(t, 206)
		do(t, "GET", at(i), nil, "If-Unmodified-Since", own).wantProblem(t, 412, "precondition-failed")
		do(t, "GET", at(i), nil, "If-Unmodified-Since", dated).want(t, 200)
	}
}

func testMetadata(t *testing.T, c *testcluster.Cluster) {
	body := []byte(`{"a":1}`)
	a := do(t, "PUT", object(c.Nodes[0], "meta"), body, "Content-Type", "application/json; charset=utf-8",
		"Larder-Meta-Model", "REINV 7", "Larder-Meta-note", "naïve, and more").want(t, 201)
	for _, n := range c.Nodes {
		got := do(t, "GET", object(n, "meta"), nil).wantBody(t, body)
		for name, want := range map[string]string{
			"ETag": a.header.Get("ETag"), "Content-Type": "application/json; charset=utf-8", "Larder-Meta-Model": "REINV 7",
			"Larder-Meta-Note": "naïve, and more", "Accept-Ranges": "bytes", "Content-Length": "7", "Larder-Writer": "anonymous",
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
			}
		}
		head := do(t, "HEAD", object(n, "meta"), nil).want(t, 200)
		for _, h := range []http.Header{got.header, head.header} {
			h.Del("Date")
			h.Del("Cache-Status")  // says where this answer came from
			h.Del("Last-Modified") // comes when the object is two seconds old
			if h.Get("Larder-Request") == "" {
				t.Error("an answer without a request ID")
			}
			h.Del("Larder-Request")
		}
		if !maps.EqualFunc(got.header, head.header, slices.Equal) {
			t.Errorf("HEAD says %v\nGET says %v", head.header, got.header)
		}
	}
	do(t, "PUT", object(c.Nodes[1], "meta"), body).want(t, 200)
	for _, n := range c.Nodes {
		got := do(t, "GET", object(n, "meta"), nil).wantBody(t, body)
		if ct := got.header.Get("Content-Type"); ct != "application/octet-stream" || got.header.Get("Larder-Meta-Model") != "" {
			t.Errorf("replaced without metadata, and it says %v", got.header)
		}
	}
	do(t, "PUT", object(c.Nodes[1], "much-meta"), body, "Larder-Meta-Long", strings.Repeat("x", 4000)).wantProblem(t, 400, "bad-metadata")
	do(t, "GET", object(c.Nodes[1], "much-meta"), nil).wantProblem(t, 404, "not-found")
}

// testCreateRaces has many callers create one key: one of them does.
func testCreateRaces(t *testing.T, c *testcluster.Cluster) {
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		answers := make([]answer, 20)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				answers[i] = do(t, "PUT", object(c.Nodes[i%3], key), fmt.Appendf(nil, "writer %d", i), "If-None-Match", "*")
			})
		}
		wg.Wait()
		won := -1
		for i, a := range answers {
			switch {
			case a.status == 201 && won < 0:
				won = i
			case a.status == 201:
				t.Errorf("both %d and %d created %s", won, i, key)
			case a.status == 409:
				a.wantProblem(t, 409, "conflict")
			default:
				a.wantProblem(t, 412, "precondition-failed")
			}
		}
		if won < 0 {
			t.Fatal("nobody created the object")
		}
		for _, n := range c.Nodes {
			do(t, "GET", object(n, key), nil).wantBody(t, fmt.Appendf(nil, "writer %d", won))
		}
	}
}
