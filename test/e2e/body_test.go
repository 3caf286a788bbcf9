package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

func testSizes(t *testing.T, c *testcluster.Cluster) {
	for i, size := range []int{0, 1, chunk - 1, chunk} {
		key := fmt.Sprintf("size/%d", size)
		body := noise(uint64(i), size)
		do(t, "PUT", object(c.Nodes[i%3], key), body).want(t, 201)
		for _, n := range c.Nodes {
			do(t, "GET", object(n, key), nil).wantBody(t, body)
			head := do(t, "HEAD", object(n, key), nil).want(t, 200)
			if got := head.header.Get("Content-Length"); got != fmt.Sprint(size) {
				t.Errorf("HEAD says %s bytes of %d", got, size)
			}
		}
	}
	for _, n := range c.Nodes {
		do(t, "PUT", object(n, "size/too-large"), noise(1, chunk+1)).wantProblem(t, 413, "too-large")
		do(t, "GET", object(n, "size/too-large"), nil).wantProblem(t, 404, "not-found")
	}
	cold := c.Nodes[0]
	do(t, "GET", object(cold, "size/0"), nil, "Cache-Control", "no-cache").wantBody(t, nil)
	if s := do(t, "GET", object(cold, "size/1"), nil, "Cache-Control", "no-cache").header.Get("Cache-Status"); s != "larder; fwd=miss; detail=s3" {
		t.Errorf("Cache-Control: no-cache is answered with Cache-Status %q", s)
	}
}

// rawAnswer writes a request as it stands and reads the answer, which must
// come; hangUp closes the sending side after the request.
func rawAnswer(t *testing.T, n *testcluster.Node, request string, hangUp bool) answer {
	t.Helper()
	conn, err := net.Dial("tcp", n.HTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if hangUp {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to %.100q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// testRawBodies sends what an HTTP client would not.
func testRawBodies(t *testing.T, c *testcluster.Cluster) {
	n := c.Nodes[0]
	put := func(key, headers string) string {
		return "PUT /v1/objects/" + key + " HTTP/1.1\r\nHost: larder\r\n" + headers + "\r\n"
	}
	chunked := func(size int) string {
		return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", size, bytes.Repeat([]byte("x"), size))
	}
	for _, tt := range []struct {
		name, request string
		status        int
		hangUp        bool
		problem       string // empty: net/http refuses it before the node sees it
	}{
		{"cut", put("cut", "Content-Length: 1000\r\n") + "ten bytes.", 400, true, "bad-body"},
		{"cut-in-a-chunk", strings.TrimSuffix(put("cut-in-a-chunk", chunked(1000)), "\r\n")[:500], 400, true, "bad-body"},
		{"cut-before-the-last-chunk", put("cut-before-the-last-chunk", chunked(1000)), 400, true, "bad-body"},
		{"announced", put("announced", fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", chunk+1)), 413, false, "too-large"},
		{"unannounced", put("unannounced", chunked(chunk+1)) + "0\r\n\r\n", 413, false, "too-large"},
		{"endless", put("endless", "Content-Length: 99999999999999\r\n"), 413, false, "too-large"},
		{"negative", put("negative", "Content-Length: -1\r\n"), 400, false, ""},
		{"two-lengths", put("two-lengths", "Content-Length: 1\r\nContent-Length: 2\r\n") + "xx", 400, false, ""},
		{"bad-escape", "GET /v1/objects/%zz HTTP/1.1\r\nHost: larder\r\n\r\n", 400, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := rawAnswer(t, n, tt.request, tt.hangUp).want(t, tt.status)
			if tt.problem != "" {
				a.wantProblem(t, tt.status, tt.problem)
			}
			for _, node := range c.Nodes {
				do(t, "GET", object(node, tt.name), nil, "Cache-Control", "no-cache").wantProblem(t, 404, "not-found")
			}
		})
	}
	// Chunked, whole and small enough: as good as any other body.
	rawAnswer(t, n, put("chunked", chunked(1000))+"0\r\n\r\n", false).want(t, 201)
	do(t, "GET", object(c.Nodes[2], "chunked"), nil).wantBody(t, bytes.Repeat([]byte("x"), 1000))
}

// The longest header that a node takes travels with a write to the key's owner,
// and a longer one is refused where it arrives.
func TestLongHeaders(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2})
	one := `"` + strings.Repeat("<", 1000) + `"` // which grows as JSON
	long := strings.Repeat(one+", ", 55) + one
	for _, n := range c.Nodes { // one of them owns the key
		do(t, "PUT", object(n, "k"), []byte("v"), "If-Match", long).want(t, 412)
		do(t, "PUT", object(n, "k"), []byte("v"), "If-Match", long+", "+long).want(t, 431)
	}
	do(t, "GET", object(c.Nodes[0], "k"), nil).want(t, 404)
}
