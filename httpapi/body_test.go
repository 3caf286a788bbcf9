package httpapi

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"larder/budget"
)

// offered is a body of zeros, which notes how many bytes were there already
// each time that it was offered more memory than before.
type offered struct {
	left, read int
	steps      []int
	end        int // of the memory that was offered last
}

func (o *offered) Read(p []byte) (int, error) {
	if o.left == 0 {
		return 0, io.EOF
	}
	if end := o.read + len(p); end > o.end {
		o.steps, o.end = append(o.steps, o.read), end
	}
	n := min(len(p), o.left)
	o.left -= n
	o.read += n
	return n, nil
}

// Memory is taken as bytes arrive, and what has arrived is copied seldom: once an
// eighth of what is announced is there, there is memory for all.
func TestBodyGrows(t *testing.T) {
	const size = 8 << 20
	for _, tt := range []struct {
		announced int64
		want      []int
	}{
		{size, []int{0, 64 << 10, 256 << 10, 1 << 20}},
		{-1, []int{0, 64 << 10, 256 << 10, 1 << 20, 4 << 20}},
	} {
		o := &offered{left: size}
		a := &API{bodies: budget.NewPool("bodies", 64<<20, 16<<20)}
		c := &call{Request: httptest.NewRequest(http.MethodPut, "/", nil), w: &recorder{ResponseWriter: httptest.NewRecorder(), last: new(atomic.Bool)}}
		c.ContentLength = tt.announced
		body := &pacedBody{r: o, deadline: func(time.Time) error { return nil }, most: size}
		sums := digests{}.hashes(c.Request)
		sum := sums.sum("sha-256")
		r, err := a.receive(c, body, size, sums)
		body.done()
		r.grant.Release()
		if err != nil || len(r.bytes) != size || r.more {
			t.Errorf("announced %d: %d bytes, more %t: %v", tt.announced, len(r.bytes), r.more, err)
		}
		if want := sha256.Sum256(r.bytes); !bytes.Equal(sum.Sum(nil), want[:]) {
			t.Errorf("announced %d: what was hashed is not what came", tt.announced)
		}
		if !slices.Equal(o.steps, tt.want) {
			t.Errorf("announced %d: memory was taken when so much was there: %v, want %v", tt.announced, o.steps, tt.want)
		}
	}
}

// pipedBody is a body that comes by a connection, and the client's end of that.
func pipedBody(t *testing.T) (*pacedBody, net.Conn) {
	t.Helper()
	here, client := net.Pipe()
	t.Cleanup(func() { _, _ = here.Close(), client.Close() })
	return &pacedBody{r: here, deadline: here.SetReadDeadline, most: 1 << 30}, client
}

// While the node itself waits, for memory or for a slow store, no time of the client's passes.
func TestABodyHasTimeWhileTheNodeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, client := pipedBody(t)
		go func() { _, _ = client.Write(make([]byte, 3000)) }()
		piece := make([]byte, 1000)
		for range 3 {
			if _, err := io.ReadFull(body, piece); err != nil {
				t.Fatalf("after %d bytes: %v", body.received, err)
			}
			time.Sleep(2 * recvStall)
		}
	})
}

func TestABodyThatStallsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, client := pipedBody(t)
		go func() {
			_, _ = client.Write(make([]byte, 1000))
			time.Sleep(2 * recvStall / 3)
			_, _ = client.Write(make([]byte, 1000)) // which gives it no more time
		}()
		piece := make([]byte, 1000)
		if _, err := io.ReadFull(body, piece); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * recvStall)
		if _, err := io.ReadFull(body, piece); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, piece); !errors.Is(err, errBody) {
			t.Errorf("a client that sends nothing any more: %v", err)
		}
	})
}

// A client that sends whatever is read of it is not cut off while others wait for memory,
// however long the node reads nothing.
func TestABodyIsNotCutOffWhileTheNodeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, grant := takeAll(t)
		body, client := pipedBody(t)
		go func() { _, _ = client.Write(make([]byte, 3000)) }()
		go func() {
			defer grant.Release()
			body.watch(pool)
			defer body.done()
			piece := make([]byte, 1000)
			for range 3 {
				time.Sleep(5 * time.Second)
				if _, err := io.ReadFull(body, piece); err != nil {
					t.Errorf("after %d bytes: %v", body.received, err)
				}
			}
		}()
		other, err := pool.Take(t.Context(), "acme/next", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		other.Release()
	})
}
