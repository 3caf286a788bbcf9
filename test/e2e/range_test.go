package e2e

import (
	"bytes"
	"fmt"
	"testing"

	"larder/test/testcluster"
)

func testRanges(t *testing.T, c *testcluster.Cluster) {
	body := noise(9, 10_000)
	etag := do(t, "PUT", object(c.Nodes[0], "ranges"), body).want(t, 201).header.Get("ETag")
	for _, n := range c.Nodes {
		for _, tt := range []struct {
			spec     string
			from, to int
		}{
			{"bytes=0-0", 0, 1}, {"bytes=0-99", 0, 100}, {"bytes=100-9999", 100, 10_000}, {"bytes=9000-", 9000, 10_000},
			{"bytes=-1", 9999, 10_000}, {"bytes=-500", 9500, 10_000}, {"bytes=-20000", 0, 10_000}, {"bytes=9000-20000", 9000, 10_000},
		} {
			a := do(t, "GET", object(n, "ranges"), nil, "Range", tt.spec).want(t, 206)
			if !bytes.Equal(a.body, body[tt.from:tt.to]) {
				t.Errorf("%s: other bytes, %d of them", tt.spec, len(a.body))
			}
			if got, want := a.header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", tt.from, tt.to-1, len(body)); got != want {
				t.Errorf("%s: Content-Range %q, want %q", tt.spec, got, want)
			}
		}
		for _, spec := range []string{"bytes=0-9,5000-5009,-10", "bytes", "items=0-9", "lines=20000-"} {
			do(t, "GET", object(n, "ranges"), nil, "Range", spec).wantBody(t, body)
		}
		do(t, "GET", object(n, "ranges"), nil, "Range", "Bytes=0-9").want(t, 206)
		for _, spec := range []string{"bytes=10000-", "bytes=10000-10001", "bytes=20000-", "bytes=-0", "bytes=-000", "bytes=9-1", "bytes=a-b"} {
			a := do(t, "GET", object(n, "ranges"), nil, "Range", spec).wantProblem(t, 416, "no-such-range")
			if got := a.header.Get("Content-Range"); got != "bytes */10000" {
				t.Errorf("%s: Content-Range %q", spec, got)
			}
		}
		do(t, "GET", object(n, "ranges"), nil, "Range", "bytes=0-9", "If-Range", etag).want(t, 206)
		do(t, "GET", object(n, "ranges"), nil, "Range", "bytes=0-9", "If-Range", `"old"`).wantBody(t, body)
		do(t, "GET", object(n, "absent"), nil, "Range", "bytes=0-9").wantProblem(t, 404, "not-found")
	}
}
