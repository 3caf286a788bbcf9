package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"larder/budget"
)

const (
	// recvStall is how long a client may take to send a megabyte of a body.
	recvStall = 30 * time.Second
	// freeBody is how much of a body is held before memory is taken for it: the
	// many small bodies of a node cost less than their connections do.
	freeBody = 64 << 10
	// bodyGrowth is by how much the memory of a body grows when it is full.
	bodyGrowth = 4
	// bodyWhole is the part of an announced body that has to be there for memory to be
	// taken for all of it: each growth copies what is there.
	bodyWhole = 8
)

// errCut ends a body that stalls while others wait for memory.
var errCut = fmt.Errorf("%w: the body came at less than 16 KiB a second while others waited for memory", budget.ErrBusy)

// chunkBody is a body of one chunk at most, or the beginning of a longer one.
type chunkBody struct {
	bytes []byte
	more  bool          // the body goes on
	grant *budget.Grant // of the bytes' memory
}

// receive reads a body of up to most bytes, and takes memory for it as it
// arrives: what is only announced takes none. All of it is written to sums, if there
// are any, while the rest is on its way.
func (a *API) receive(c *call, body *pacedBody, most int64, sums *hashes) (r chunkBody, err error) {
	size := c.ContentLength
	if size < 0 {
		size = most + 1 // one more tells that the body goes on
	}
	defer func() {
		if err != nil {
			r.grant.Release()
		}
	}()
	from := io.Reader(body)
	if sums != nil {
		from = io.TeeReader(body, sums)
	}
	r.bytes = make([]byte, 0, min(size, freeBody))
	for {
		n, err := io.ReadFull(from, r.bytes[len(r.bytes):cap(r.bytes)])
		r.bytes = r.bytes[:len(r.bytes)+n]
		switch {
		case err == nil && int64(len(r.bytes)) == size:
			r.more = c.ContentLength < 0
			return r, nil
		case err == nil:
		case c.ContentLength < 0 && body.err == io.EOF: //nolint:errorlint // an end that is announced is io.EOF itself
			return r, nil
		default:
			return r, body.cutShort()
		}
		next := min(int64(cap(r.bytes))*bodyGrowth, size)
		if c.ContentLength >= 0 && int64(cap(r.bytes)) >= size/bodyWhole {
			next = size
		}
		if err := a.grow(c, body, &r, next); err != nil {
			return r, err
		}
	}
}

// grow makes room for size bytes. From the first time on the client is watched: if
// it stalls while others wait for memory, its body ends.
func (a *API) grow(c *call, body *pacedBody, r *chunkBody, size int64) (err error) {
	if r.grant == nil {
		r.grant, err = a.bodies.Take(c.Context(), c.who.Org+"/"+c.who.User, size)
		body.watch(a.bodies)
	} else {
		err = r.grant.Grow(c.Context(), size-int64(cap(r.bytes)))
	}
	if err != nil {
		return err
	}
	larger := make([]byte, len(r.bytes), size)
	copy(larger, r.bytes)
	r.bytes = larger
	return nil
}

// pacedBody reads a body, and gives the client time for each megabyte of it. Only the
// time of its Reads counts: between them the node waits for memory, or for the store.
type pacedBody struct {
	r        io.Reader
	deadline func(time.Time) error
	left     int       // bytes until the next megabyte
	until    time.Time // when they have to be here
	armed    time.Time // what deadline was told last: until, or little before
	ended    time.Time // when the last Read did
	received int64     // bytes so far
	err      error     // what ended it: io.EOF if the client ended it
	refused  error     // why fits said that there may be no more of it
	most     int64     // bytes, beyond which fits is asked again
	fits     func(size int64) (most int64, err error)
	holder   *budget.Holder // nil unless it holds memory that others may wait for
	isCut    atomic.Bool
}

// newPacedBody makes one of which most bytes fit, and fits says if there are more.
func newPacedBody(c *call, most int64, fits func(size int64) (int64, error)) *pacedBody {
	return &pacedBody{r: c.Body, deadline: http.NewResponseController(c.w).SetReadDeadline, most: most, fits: fits}
}

// watch has the body cut if it stalls while others wait for memory of the pool.
func (b *pacedBody) watch(p *budget.Pool) {
	if b.holder == nil {
		b.holder = p.Hold(b.cut)
		b.holder.Waits()
	}
}

// done ends the watch.
func (b *pacedBody) done() {
	if b.holder != nil {
		b.holder.Done()
		b.holder = nil
	}
}

// cut ends the body from outside, also a Read that waits.
func (b *pacedBody) cut() {
	b.isCut.Store(true)
	_ = b.deadline(time.Now()) // a reader without deadlines ends with its next Read
}

// begin gives the client its time, before a Read.
func (b *pacedBody) begin() {
	now := time.Now()
	if b.left <= 0 {
		b.left, b.until = 1<<20, now.Add(recvStall)
	} else {
		b.until = b.until.Add(now.Sub(b.ended))
	}
	if b.until.Sub(b.armed) > time.Second && !b.isCut.Load() {
		b.armed = b.until
		_ = b.deadline(b.until) // a reader without deadlines has none to keep
	}
	if b.holder != nil {
		b.holder.Resumes()
	}
}

// end is the end of a Read.
func (b *pacedBody) end() {
	b.ended = time.Now()
	if b.holder != nil {
		b.holder.Waits()
	}
}

func (b *pacedBody) Read(p []byte) (int, error) {
	b.begin()
	defer b.end()
	if b.isCut.Load() { // it may have been, while the deadline was set
		b.err = errCut
		return 0, errCut
	}
	n, err := b.r.Read(p)
	b.left -= n
	b.received += int64(n)
	if b.holder != nil {
		b.holder.Moved(n)
	}
	if b.received > b.most {
		most, over := b.fits(b.received)
		if b.most = most; over != nil {
			b.err, b.refused = over, over
			return 0, over
		}
	}
	if err != nil {
		b.err = err
	}
	if err != nil && err != io.EOF { //nolint:errorlint // the end is io.EOF itself
		err = b.cutShort()
	}
	return n, err
}

// cutShort says how a body ended before its end. The connection's own words would
// tell the address of the node behind a proxy.
func (b *pacedBody) cutShort() error {
	switch {
	case b.isCut.Load():
		return errCut
	case b.refused != nil:
		return b.refused
	case errors.Is(b.err, errBody):
		return b.err
	case errors.Is(b.err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: after %d bytes, less than a megabyte came in %s", errBody, b.received, recvStall)
	}
	return fmt.Errorf("%w: it was cut short after %d bytes", errBody, b.received)
}
