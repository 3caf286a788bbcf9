package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/store"
)

const (
	second      = "Sat, 29 Jan 2022 10:00:00 GMT" // in which the object of the tests was written
	afterSecond = "Sat, 29 Jan 2022 10:00:01 GMT" // its Last-Modified
	muchLater   = "Sat, 29 Jan 2022 12:00:00 GMT"
	muchEarlier = "Sat, 29 Jan 2022 08:00:00 GMT"
)

// written is when that was.
func written() time.Time { return time.Date(2022, 1, 29, 10, 0, 0, 0, time.UTC) }

// Every condition and every pair of them that RFC 9110, section 13.2.2, puts in
// order; what is not said is 200 and the whole.
func TestJudgeConditions(t *testing.T) {
	o := store.Head{Version: "v1", Size: 100, Modified: written()}
	for _, c := range []struct {
		headers []string // names and values in turn
		want    int
		young   bool // no date is strong yet
	}{
		{headers: nil, want: 200},

		{headers: []string{"If-Match", `"v1"`}, want: 200},
		{headers: []string{"If-Match", `"v2"`}, want: 412},
		{headers: []string{"If-Match", `"v2", "v1"`}, want: 200},
		{headers: []string{"If-Match", `"v2"`, "If-Match", `"v1"`}, want: 200},
		{headers: []string{"If-Match", `*`}, want: 200},
		{headers: []string{"If-Match", `v1`}, want: 200},
		{headers: []string{"If-Match", `W/"v1"`}, want: 412}, // strong comparison
		{headers: []string{"If-Match", `"a,v1"`}, want: 412}, // one tag
		{headers: []string{"If-Match", `,`}, want: 412},

		{headers: []string{"If-None-Match", `"v1"`}, want: 304},
		{headers: []string{"If-None-Match", `W/"v1"`}, want: 304}, // weak comparison
		{headers: []string{"If-None-Match", `"v2"`}, want: 200},
		{headers: []string{"If-None-Match", `"v2" ,W/"v1"`}, want: 304},
		{headers: []string{"If-None-Match", `"v2"`, "If-None-Match", `"v1"`}, want: 304},
		{headers: []string{"If-None-Match", `*`}, want: 304},
		{headers: []string{"If-None-Match", `v1`}, want: 304},
		{headers: []string{"If-None-Match", `"a,v1"`}, want: 200},

		// Only the date that was given out tells that nothing has changed.
		{headers: []string{"If-Modified-Since", afterSecond}, want: 304},
		{headers: []string{"If-Modified-Since", afterSecond}, want: 200, young: true},
		{headers: []string{"If-Modified-Since", second}, want: 200},
		{headers: []string{"If-Modified-Since", muchLater}, want: 200},
		{headers: []string{"If-Modified-Since", muchEarlier}, want: 200},
		{headers: []string{"If-Modified-Since", "yesterday"}, want: 200},
		{headers: []string{"If-Modified-Since", "Saturday, 29-Jan-22 10:00:01 GMT"}, want: 304},
		{headers: []string{"If-Modified-Since", "Sat Jan 29 10:00:01 2022"}, want: 304},

		{headers: []string{"If-Unmodified-Since", muchLater}, want: 200},
		{headers: []string{"If-Unmodified-Since", afterSecond}, want: 200},
		{headers: []string{"If-Unmodified-Since", second}, want: 412}, // another version may have had that second
		{headers: []string{"If-Unmodified-Since", muchEarlier}, want: 412},
		{headers: []string{"If-Unmodified-Since", "yesterday"}, want: 200},
		{headers: []string{"If-Unmodified-Since", afterSecond}, want: 200, young: true},

		// A tag comes before a date, and what must match before what must not.
		{headers: []string{"If-Match", `"v1"`, "If-Unmodified-Since", muchEarlier}, want: 200},
		{headers: []string{"If-Match", `"v2"`, "If-Unmodified-Since", muchLater}, want: 412},
		{headers: []string{"If-None-Match", `"v2"`, "If-Modified-Since", afterSecond}, want: 200},
		{headers: []string{"If-None-Match", `"v1"`, "If-Modified-Since", muchEarlier}, want: 304},
		{headers: []string{"If-Match", `"v1"`, "If-None-Match", `"v1"`}, want: 304},
		{headers: []string{"If-Match", `"v2"`, "If-None-Match", `"v1"`}, want: 412},
		{headers: []string{"If-Match", `"v1"`, "If-None-Match", `"v2"`}, want: 200},
		{headers: []string{"If-Match", `"v1"`, "If-Modified-Since", afterSecond}, want: 304},
		{headers: []string{"If-Unmodified-Since", muchEarlier, "If-None-Match", `"v1"`}, want: 412},
		{headers: []string{"If-Unmodified-Since", muchLater, "If-None-Match", `"v1"`}, want: 304},
		{headers: []string{"If-Unmodified-Since", muchLater, "If-Modified-Since", afterSecond}, want: 304},

		// All of them come before a range.
		{headers: []string{"If-Match", `"v2"`, "Range", "bytes=0-9"}, want: 412},
		{headers: []string{"If-Match", `"v2"`, "Range", "bytes=100-"}, want: 412},
		{headers: []string{"If-None-Match", `"v1"`, "Range", "bytes=0-9"}, want: 304},
		{headers: []string{"If-None-Match", `"v1"`, "Range", "bytes=100-"}, want: 304},
		{headers: []string{"If-Modified-Since", afterSecond, "Range", "bytes=0-9"}, want: 304},
		{headers: []string{"If-Match", `"v1"`, "Range", "bytes=0-9"}, want: 206},
		{headers: []string{"If-None-Match", `"v2"`, "Range", "bytes=0-9"}, want: 206},
		{headers: []string{"If-Match", `"v1"`, "Range", "bytes=100-"}, want: 416},

		{headers: []string{"Range", "bytes=0-9", "If-Range", `"v1"`}, want: 206},
		{headers: []string{"Range", "bytes=0-9", "If-Range", `"v2"`}, want: 200},
		{headers: []string{"Range", "bytes=0-9", "If-Range", `W/"v1"`}, want: 200},
		{headers: []string{"Range", "bytes=0-9", "If-Range", afterSecond}, want: 206},
		{headers: []string{"Range", "bytes=0-9", "If-Range", afterSecond}, want: 200, young: true},
		{headers: []string{"Range", "bytes=0-9", "If-Range", second}, want: 200},
		{headers: []string{"Range", "bytes=0-9", "If-Range", muchLater}, want: 200},
		{headers: []string{"Range", "bytes=100-", "If-Range", `"v1"`}, want: 416},
		{headers: []string{"Range", "bytes=100-", "If-Range", `"v2"`}, want: 200},
		{headers: []string{"If-Range", `"v2"`}, want: 200},
	} {
		modified := lastModified(o, written().Add(time.Hour))
		if c.young {
			modified = time.Time{}
		}
		h := http.Header{}
		for i := 0; i < len(c.headers); i += 2 {
			h.Add(c.headers[i], c.headers[i+1])
		}
		if got := judge(http.MethodGet, h, o, modified); got.status != c.want {
			t.Errorf("GET with %q: %d, want %d", c.headers, got.status, c.want)
		}
		head := c.want // which ignores ranges
		if head == 206 || head == 416 {
			head = 200
		}
		if got := judge(http.MethodHead, h, o, modified); got.status != head {
			t.Errorf("HEAD with %q: %d, want %d", c.headers, got.status, head)
		}
	}
}

func TestJudgeRanges(t *testing.T) {
	for _, c := range []struct {
		header     string
		size       int64
		want       int
		first, end int64
	}{
		{"bytes=0-0", 100, 206, 0, 1},
		{"bytes=0-99", 100, 206, 0, 100},
		{"bytes=99-99", 100, 206, 99, 100},
		{"bytes=10-19", 100, 206, 10, 20},
		{"bytes=90-", 100, 206, 90, 100},
		{"bytes=0-", 100, 206, 0, 100},
		{"bytes=90-200", 100, 206, 90, 100},
		{"bytes=0-9223372036854775807", 100, 206, 0, 100},
		{"bytes=0-99999999999999999999", 100, 206, 0, 100},
		{"bytes=-1", 100, 206, 99, 100},
		{"bytes=-100", 100, 206, 0, 100},
		{"bytes=-200", 100, 206, 0, 100},
		{"bytes=-99999999999999999999", 100, 206, 0, 100},
		{"Bytes=0-9", 100, 206, 0, 10},
		{"bytes = 0 - 9 ", 100, 206, 0, 10},

		{"bytes=100-", 100, 416, 0, 0},
		{"bytes=100-100", 100, 416, 0, 0},
		{"bytes=99999999999999999999-", 100, 416, 0, 0},
		{"bytes=-0", 100, 416, 0, 0},
		{"bytes=-000", 100, 416, 0, 0},
		{"bytes=9-1", 100, 416, 0, 0},
		{"bytes=a-b", 100, 416, 0, 0},
		{"bytes=1-b", 100, 416, 0, 0},
		{"bytes=+1-2", 100, 416, 0, 0},
		{"bytes=--1", 100, 416, 0, 0},
		{"bytes=-", 100, 416, 0, 0},
		{"bytes=5", 100, 416, 0, 0},
		{"bytes=1-2-3", 100, 416, 0, 0},

		{"", 100, 200, 0, 100},
		{"bytes", 100, 200, 0, 100},
		{"bytes=", 100, 200, 0, 100},
		{"items=0-9", 100, 200, 0, 100},
		{"lines=200-", 100, 200, 0, 100},
		{"bytes=0-9,20-29", 100, 200, 0, 100},
		{"bytes=0-9,", 100, 200, 0, 100},

		{"bytes=0-", 0, 200, 0, 0},
		{"bytes=0-9", 0, 200, 0, 0},
		{"bytes=-5", 0, 200, 0, 0},
		{"bytes=-0", 0, 200, 0, 0},
		{"bytes=5-", 0, 200, 0, 0},
		{"bytes=0-0", 1, 206, 0, 1},
		{"bytes=-1", 1, 206, 0, 1},
	} {
		h := http.Header{"Range": {c.header}}
		got := judge(http.MethodGet, h, store.Head{Size: c.size}, time.Time{})
		if got != (verdict{c.want, c.first, c.end}) {
			t.Errorf("%q of %d bytes: %+v, want %d, %d to %d", c.header, c.size, got, c.want, c.first, c.end)
		}
	}
}

// An object has no date while another version may get the same one.
func TestLastModified(t *testing.T) {
	o := store.Head{Modified: written()}
	for age, want := range map[time.Duration]string{
		-time.Hour: "", 0: "", 1999 * time.Millisecond: "", 2 * time.Second: afterSecond, time.Hour: afterSecond,
	} {
		h := http.Header{}
		setHeaders(h, o, lastModified(o, written().Add(age)), "")
		if got := h.Get("Last-Modified"); got != want {
			t.Errorf("after %s: %q, want %q", age, got, want)
		}
	}
}

// What is judged is what is sent.
func TestJudgedAnswers(t *testing.T) {
	a := readingFrom(t, oneObject{body: []byte("0123456789")}, zerolog.Nop())
	for _, c := range []struct {
		name, value, body string
		status            int
		headers           map[string]string
	}{
		{"Range", "bytes=2-4", "234", 206, map[string]string{"Content-Range": "bytes 2-4/10", "Content-Length": "3", "Etag": `"v1"`, "Content-Type": "text/plain"}},
		{"Range", "bytes=0-1,4-5", "0123456789", 200, map[string]string{"Content-Range": "", "Content-Length": "10"}},
		{"If-Match", `"v1"`, "0123456789", 200, map[string]string{"Content-Length": "10"}},
		{"If-None-Match", `"v1"`, "", 304, map[string]string{"Etag": `"v1"`, "Content-Type": "", "Content-Length": "", "Cache-Control": "private, no-cache"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
		r.Header.Set(c.name, c.value)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: %s: %d %q", c.name, c.value, w.Code, w.Body)
		}
		for name, want := range c.headers {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s: %s is %q, want %q", c.name, c.value, name, got, want)
			}
		}
		if c := w.Header().Get("Cache-Status"); c == "" {
			t.Error("no Cache-Status")
		}
	}
}
