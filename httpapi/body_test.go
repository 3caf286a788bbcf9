package httpapi

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
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
