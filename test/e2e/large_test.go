package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

const (
	largeChunk = 1 << 20
	largeMost  = 24 << 20
)

func largeCluster(t *testing.T, memory string) *testcluster.Cluster {
	t.Helper()
	return testcluster.New(t, testcluster.Options{Nodes: 3, Flags: []string{
		"--chunk-size", fmt.Sprint(largeChunk), "--max-object-size", fmt.Sprint(largeMost), "--memory", memory,
	}})
}

// unknownLength hides how long a body is, so that it is sent in chunks.
func unknownLength(t *testing.T, target string, body []byte) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{method: http.MethodPut, status: resp.StatusCode, header: resp.Header, body: got}
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestLarge(t *testing.T) {
	t.Parallel()
	c := largeCluster(t, "128MiB")
	t.Run("sizes", func(t *testing.T) {
		for i, size := range []int{0, 1, largeChunk - 1, largeChunk, largeChunk + 1, 5<<20 + 3, 13<<20 + 1, largeMost} {
			body := noise(uint64(i), size)
			for j, put := range []func(string) answer{
				func(target string) answer { return do(t, "PUT", target, body) },
				func(target string) answer { return unknownLength(t, target, body) },
				func(target string) answer { return do(t, "PUT", target, body, "Repr-Digest", digestOf(body)) },
			} {
				key := fmt.Sprintf("size/%d/%d", size, j)
				etag := put(object(c.Nodes[j], key)).want(t, 201).header.Get("Etag")
				for _, n := range c.Nodes {
					a := do(t, "GET", object(n, key), nil).wantBody(t, body)
					if a.header.Get("Etag") != etag || a.header.Get("Content-Length") != fmt.Sprint(size) {
						t.Errorf("%s: %v", key, a.header)
					}
				}
				put(object(c.Nodes[(j+1)%3], key)).want(t, 200)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		over := noise(9, largeMost+1)
		n := c.Nodes[0]
		do(t, "PUT", object(n, "over"), over).wantProblem(t, 413, "too-large")
		unknownLength(t, object(n, "over"), over).wantProblem(t, 413, "too-large")
		body := over[:10<<20]
		do(t, "PUT", object(n, "over"), body, "Content-Digest", digestOf(over)).wantProblem(t, 400, "bad-digest")
		do(t, "PUT", object(n, "over"), body, "If-Match", `"other"`).wantProblem(t, 412, "precondition-failed")
		do(t, "GET", object(n, "over"), nil).wantProblem(t, 404, "not-found")
	})
	t.Run("cut short", func(t *testing.T) {
		n := c.Nodes[0]
		for name, head := range map[string]string{
			"length": fmt.Sprintf("Content-Length: %d\r\n\r\n", 20<<20),
			"chunks": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", 20<<20),
		} {
			request := "PUT /v1/objects/cut-" + name + " HTTP/1.1\r\nHost: larder\r\n" + head + string(noise(8, 7<<20))
			rawAnswer(t, n, request, true).wantProblem(t, 400, "bad-body")
			do(t, "GET", object(n, "cut-"+name), nil).wantProblem(t, 404, "not-found")
		}
	})
	t.Run("ranges", func(t *testing.T) {
		body := noise(7, 20<<20)
		do(t, "PUT", object(c.Nodes[0], "parts"), body).want(t, 201)
		for _, r := range [][2]int{{0, 1}, {largeChunk - 1, largeChunk + 1}, {5 << 20, 12 << 20}, {len(body) - 1, len(body)}} {
			a := do(t, "GET", object(c.Nodes[1], "parts"), nil, "Range", fmt.Sprintf("bytes=%d-%d", r[0], r[1]-1)).want(t, 206)
			if !bytes.Equal(a.body, body[r[0]:r[1]]) {
				t.Errorf("range %v: %d bytes that are not those", r, len(a.body))
			}
		}
	})
}

// forgetAll kills all nodes and starts them again, with empty memories.
func forgetAll(c *testcluster.Cluster) {
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		n.Launch()
	}
	for _, n := range c.Nodes {
		n.WaitReady()
	}
	c.WaitMembers(len(c.Nodes))
}

// The last kilobyte of a large object that no memory has costs one chunk.
func TestRangeCostsOneChunk(t *testing.T) {
	t.Parallel()
	c := largeCluster(t, "32MiB")
	body := noise(1, 20<<20)
	do(t, "PUT", object(c.Nodes[0], "tail"), body).want(t, 201)
	forgetAll(c)
	a := do(t, "GET", object(c.Nodes[1], "tail"), nil, "Range", "bytes=-1024").want(t, 206)
	if !bytes.Equal(a.body, body[len(body)-1024:]) || a.header.Get("Cache-Status") != "larder; fwd=miss; detail=s3" {
		t.Errorf("%d bytes, %v", len(a.body), a.header)
	}
	if head, chunks := c.S3Requests("head"), c.S3Requests("get", "get_range"); head != 1 || chunks != 1 {
		t.Errorf("S3 was asked for %d heads and %d chunks", head, chunks)
	}
}

// Many readers of one large object through all nodes load each chunk once.
func TestHotLargeObjectIsLoadedOnce(t *testing.T) {
	t.Parallel()
	c := largeCluster(t, "256MiB")
	body := noise(2, 20<<20)
	do(t, "PUT", object(c.Nodes[0], "hot"), body).want(t, 201)
	forgetAll(c)
	var readers sync.WaitGroup
	for i := range 24 {
		readers.Go(func() { wantStream(t, object(c.Nodes[i%3], "hot"), body) })
	}
	readers.Wait()
	if n := c.S3Requests("get", "get_range", "head"); n != len(body)/largeChunk {
		t.Errorf("%d chunks cost %d requests", len(body)/largeChunk, n)
	}
}

// A version that is replaced while it is read, and that no memory has, ends in a
// broken connection: never in bytes of another, never in a short body that
// looks whole.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	c := largeCluster(t, "8MiB")
	first, second := noise(3, 20<<20), noise(4, 20<<20)
	n := c.Nodes[0]
	do(t, "PUT", object(n, "k"), first).want(t, 201)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", object(n, "k"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 1000)
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatal(err)
	}
	do(t, "PUT", object(c.Nodes[1], "k"), second).want(t, 200)
	for i := range 40 { // push the first version out of every memory
		do(t, "PUT", object(c.Nodes[i%3], fmt.Sprint("other/", i)), noise(5, largeChunk)).want(t, 201)
	}
	rest, err := io.ReadAll(resp.Body)
	got = append(got, rest...)
	if !bytes.Equal(got, first[:len(got)]) {
		t.Error("bytes of another version")
	}
	if err == nil && len(got) != len(first) {
		t.Errorf("a body of %d bytes looks whole", len(got))
	}
	do(t, "GET", object(n, "k"), nil).wantBody(t, second)
}

// Clients that stall or leave give back what they hold.
func TestStallingReaders(t *testing.T) {
	t.Parallel()
	c := largeCluster(t, "32MiB")
	body := noise(6, 20<<20)
	n := c.Nodes[0]
	do(t, "PUT", object(n, "k"), body).want(t, 201)
	for range 20 { // more than the node has memory to hold chunks for
		req, err := http.NewRequestWithContext(t.Context(), "GET", object(n, "k"), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 3<<20)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	do(t, "GET", object(n, "k"), nil).wantBody(t, body)
}
