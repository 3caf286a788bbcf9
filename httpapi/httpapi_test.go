package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
	"larder/writepath"
)

func TestDigests(t *testing.T) {
	body := []byte("hello")
	sum := sha256.Sum256(body)
	right := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	other := "sha-256=:" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":"
	for _, c := range []struct {
		name, value string
		good        bool
	}{
		{"Content-Digest", right, true},
		{"Repr-Digest", right, true},
		{"Repr-Digest", "md5=:AAAA:, " + right, true},
		{"Repr-Digest", "md5=:AAAA:", true},
		{"Content-Digest", other, false},
		{"Repr-Digest", right + ", sha-512=:AAAA:", false},
		{"Content-Digest", "sha-256=abc", false},
		{"Content-Digest", "sha-256", false},
		{"Content-Digest", "sha-256=:***:", false},
		{"Content-Digest", "sha-256=::", false},
		{"Content-Digest", ";;", false},
	} {
		d, err := parseDigests(http.Header{c.name: {c.value}})
		if err == nil {
			sums := d.hashes(&http.Request{})
			_, _ = sums.Write(body)
			err = sums.verify(nil)
		}
		if c.good && err != nil || !c.good && !errors.Is(err, errDigest) {
			t.Errorf("%s: %s: %v", c.name, c.value, err)
		}
	}
}

func TestWriteConditions(t *testing.T) {
	for _, c := range []struct {
		match, none string
		versions    []string
		absent, bad bool
		since       string
	}{
		{},
		{since: "Sat, 01 Jan 2022 00:00:00 GMT", bad: true},
		{since: "Sat, 01 Jan 2022 00:00:00 GMT", match: `"a"`, versions: []string{"a"}},
		{match: `"a"`, versions: []string{"a"}},
		{match: `"a", "b"`, versions: []string{"a", "b"}},
		{match: `*`, versions: []string{"*"}},
		{match: `a`, versions: []string{"a"}},
		{none: `*`, absent: true},
		{none: `"a"`, bad: true},
		{match: `W/"a"`, bad: true},
		{match: `,`, bad: true},
		{match: `"a"`, none: `*`, bad: true},
	} {
		h := http.Header{}
		for name, v := range map[string]string{"If-Match": c.match, "If-None-Match": c.none, "If-Unmodified-Since": c.since} {
			if v != "" {
				h.Set(name, v)
			}
		}
		got, err := writeConditions(h)
		if c.bad != errors.Is(err, errHeader) || !c.bad && (got.IfAbsent != c.absent || !reflect.DeepEqual(got.IfMatch, c.versions)) {
			t.Errorf("%q %q: %+v %v", c.match, c.none, got, err)
		}
	}
}

func TestWantsLines(t *testing.T) {
	for _, tt := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"application/json"}, false},
		{[]string{"application/x-ndjson"}, true},
		{[]string{"Application/X-NDJSON; q=0.9, */*"}, true},
		{[]string{"text/html", "application/x-ndjson"}, true},
	} {
		if got := wantsLines(http.Header{"Accept": tt.accept}); got != tt.want {
			t.Errorf("Accept %q: %v", tt.accept, got)
		}
	}
}

func TestListingQueries(t *testing.T) {
	for _, c := range []struct {
		service, query string
		err            error
	}{
		{"objects", "prefix=a&limit=5", nil},
		{"objects", "limit=0", errQuery},
		{"objects", "limit=10001", errQuery},
		{"objects", "limit=x", errQuery},
		{"objects", "cursor=***", errQuery},
		{"objects", "cursor=b3RoZXI", errQuery}, // of another org
		{"objects", "prefx=a", errQuery},
		{"objects", "name=a", errQuery},
		{"objects", "prefix=%00", keys.ErrBadKey},
		{"strategies", "name=A&env_date=2022-01-30&env_hash=ab", nil},
		{"strategies", "env_date=2022-01-30T00:00:00+00:00", nil},
		{"strategies", "env_date=yesterday", errQuery},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseListing(auth.Principal{Org: "acme", Role: auth.Reader}, c.service, q); !errors.Is(err, c.err) {
			t.Errorf("%s?%s: %v", c.service, c.query, err)
		}
	}
}

func TestFilter(t *testing.T) {
	have := strategyParts{Name: "A", EnvDate: "2022-01-30T00:00:00+00:00", EnvHash: "ab"}
	for _, c := range []struct {
		filter strategyParts
		admits bool
	}{
		{strategyParts{}, true},
		{strategyParts{Name: "A"}, true},
		{strategyParts{Name: "B"}, false},
		{strategyParts{EnvHash: "ab", Name: "A"}, true},
		{strategyParts{EnvHash: "a"}, false},
		{strategyParts{EnvDate: "2022-01-30"}, true},
		{strategyParts{EnvDate: "2022-01-31"}, false},
		{strategyParts{EnvDate: "2022-01-30T00:00:00Z"}, true},
		{strategyParts{EnvDate: "2022-01-30T01:00:00+01:00"}, true},
		{strategyParts{EnvDate: "2022-01-30T01:00:00Z"}, false},
	} {
		if got := c.filter.admits(have); got != c.admits {
			t.Errorf("%+v: %v", c.filter, got)
		}
	}
}

// Each error of the parts below has one status.
func TestStatuses(t *testing.T) {
	a := &API{kinds: newKinds()}
	for err, status := range map[error]int{
		keys.ErrBadKey:           400,
		store.ErrMetadata:        400,
		auth.ErrNoCredential:     401,
		auth.ErrBadCredential:    401,
		auth.ErrExpired:          401,
		auth.ErrRefused:          401,
		auth.ErrRole:             403,
		auth.ErrScope:            403,
		store.ErrNotFound:        404,
		store.ErrArchived:        404,
		errMethod:                405,
		store.ErrConflict:        409,
		store.ErrPrecondition:    412,
		budget.ErrBusy:           503,
		errTooLarge:              413,
		errRange:                 416,
		chunks.ErrPanic:          500,
		errors.New("unforeseen"): 500,
		store.ErrUnexpected:      502,
		store.ErrUnavailable:     503,
		writepath.ErrNotApplied:  503,
		fmt.Errorf("%w: %w", writepath.ErrUnknown, context.DeadlineExceeded): 503,
		context.DeadlineExceeded: 504,
	} {
		if p := a.problemOf(fmt.Errorf("wrapped: %w", err)); p.Status != status || p.Type == "" || p.Title == "" || p.Detail == "" {
			t.Errorf("%v: %+v, want status %d", err, p, status)
		}
	}
}

func TestFailuresAreProblems(t *testing.T) {
	for name, c := range map[string]struct {
		fail   func() error
		status int
	}{
		"unavailable": {func() error { return store.ErrUnavailable }, 503},
		"panic":       {func() error { panic("broken") }, 500},
	} {
		b := broken{c.fail}
		var observed []int
		api := New(Config{
			MaxObject: 10, ChunkSize: 10, Log: zerolog.Nop(),
			Observe: func(s Served) { observed = append(observed, s.Status) },
		}, b, b, b, b)
		for _, r := range []*http.Request{
			httptest.NewRequest("GET", "/v1/objects/k", nil),
			httptest.NewRequest("HEAD", "/v1/objects/k", nil),
			httptest.NewRequest("PUT", "/v1/objects/k", strings.NewReader("body")),
			httptest.NewRequest("DELETE", "/v1/objects/k", nil),
			httptest.NewRequest("GET", "/v1/objects", nil),
		} {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			var p problem
			err := json.Unmarshal(w.Body.Bytes(), &p)
			if r.Method == http.MethodHead {
				p.Status, err = w.Code, nil
			}
			if w.Code != c.status || p.Status != c.status || err != nil {
				t.Errorf("%s of %s: %d %s", r.Method, name, w.Code, w.Body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("%s of %s: %s", r.Method, name, got)
			}
			if (w.Header().Get("Retry-After") != "") != (c.status == 503) {
				t.Errorf("%s of %s: Retry-After %q", r.Method, name, w.Header().Get("Retry-After"))
			}
		}
		if len(observed) != 5 || observed[0] != c.status {
			t.Errorf("%s: observed %v", name, observed)
		}
	}
}

// Without credentials, a browser that a foreign name led here gets nothing.
func TestOwnMachine(t *testing.T) {
	b := broken{func() error { return store.ErrUnavailable }}
	api := New(Config{MaxObject: 10, ChunkSize: 10, OwnMachine: true, Log: zerolog.Nop()}, b, b, b, b)
	for host, own := range map[string]bool{
		"127.0.0.1:8080": true, "127.9.9.9": true, "localhost:8080": true, "localhost": true, "larder.localhost": true,
		"[::1]:8080": true, "[::1]": true, "": true, "larder": true, "10.0.0.1:8080": true, "localhost.": true,
		"evil.example:8080": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false, "evil.example.": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
		r.Host = host
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if refused := w.Code == http.StatusForbidden; refused == own {
			t.Errorf("%q: %d %s", host, w.Code, w.Body)
		}
	}
}

// rangeless is a store that answers for heads alone.
type rangeless struct{ oneObject }

func (rangeless) GetRange(context.Context, string, string, int64, int64) (store.Head, []byte, error) {
	return store.Head{}, nil, store.ErrUnavailable
}

// A range whose bytes are not to be had is a problem, which says nothing of the object.
func TestRangeThatFails(t *testing.T) {
	a := readingFrom(t, rangeless{oneObject{body: make([]byte, 100)}}, zerolog.Nop())
	r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
	r.Header.Set("Range", "bytes=10-19")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "store-unavailable") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, name := range []string{"Content-Range", "Etag", "Accept-Ranges", "Last-Modified"} {
		if v := w.Header().Get(name); v != "" {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// rewritten is a store whose object is another one whenever the head has been
// read, so many times.
type rewritten struct {
	oneObject
	times *atomic.Int64
}

func (r rewritten) GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error) {
	if r.times.Add(-1) >= 0 {
		return store.Head{}, nil, store.ErrPrecondition
	}
	return r.oneObject.GetRange(ctx, name, version, off, n)
}

// A range of an object that was rewritten just now is one of the new version: no
// condition was set that could have failed.
func TestRangeOfWhatWasRewritten(t *testing.T) {
	for times, want := range map[int64]int{1: http.StatusPartialContent, readTries - 1: http.StatusPartialContent, readTries: http.StatusServiceUnavailable} {
		o := rewritten{oneObject{body: []byte("0123456789")}, new(atomic.Int64)}
		o.times.Store(times)
		a := readingFrom(t, o, zerolog.Nop())
		r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
		r.Header.Set("Range", "bytes=-3")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != want || want == http.StatusPartialContent && w.Body.String() != "789" {
			t.Errorf("rewritten %d times: %d %s", times, w.Code, w.Body)
		}
	}
}

// And so is the whole of it, if only its head was known.
func TestWholeOfWhatWasRewritten(t *testing.T) {
	o := rewritten{oneObject{body: []byte("0123456789")}, new(atomic.Int64)}
	o.times.Store(1)
	a := readingFrom(t, o, zerolog.Nop())
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(method, "/v1/objects/k", nil))
		if w.Code != http.StatusOK || method == http.MethodGet && w.Body.String() != "0123456789" {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if n := o.times.Load(); n != 0 {
		t.Errorf("%d times left: no version was gone", n)
	}
}

// patience is a connection that notes until when it may take its time.
type patience struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (p *patience) SetWriteDeadline(t time.Time) error {
	p.until = t
	return nil
}

// A client may pause as long in a small piece of an object as in a whole chunk.
func TestPiecesHaveTheTimeOfAChunk(t *testing.T) {
	began := time.Now()
	w := &patience{ResponseRecorder: httptest.NewRecorder()}
	reading(t, 100, zerolog.Nop()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil))
	if w.Code != http.StatusOK || w.until.Before(began.Add(2*sendStall)) { // chunks of a megabyte
		t.Errorf("%d, %s", w.Code, w.until.Sub(began))
	}
}

// What the store says of when to come back reaches callers.
func TestRetryAfter(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0: "3", time.Second: "3", 20 * time.Second: "20", 4500 * time.Millisecond: "5",
	} {
		b := broken{func() error { return fmt.Errorf("%w: %w", store.ErrUnavailable, store.Later{After: after}) }}
		w := httptest.NewRecorder()
		New(Config{MaxObject: 10, ChunkSize: 10, Log: zerolog.Nop()}, b, b, b, b).
			ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil))
		if got := w.Header().Get("Retry-After"); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}
