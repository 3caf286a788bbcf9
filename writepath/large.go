package writepath

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/budget"
	"larder/keys"
	"larder/store"
)

// ErrTooLarge says that a body goes on beyond the largest object that is taken.
var ErrTooLarge = errors.New("object too large")

const (
	// inParallel is how many parts of one upload are on their way at once.
	inParallel = 4
	// keepAtMost is how much of an object is kept to be put into memory once
	// it is written.
	keepAtMost = 64 << 20
	// spreadLimit bounds the time in which written chunks go to their owners.
	spreadLimit = 10 * time.Second
	// abortLimit bounds the clearing away of an upload that came to nothing.
	abortLimit = 10 * time.Second
)

// Upload is an object of any size that is to be written.
type Upload struct {
	store.Head
	Conditions
	// Body is read to its end.
	Body io.Reader
	// Cut ends the reading of Body from outside. It is called if Body stalls
	// while others wait for memory, and may be nil.
	Cut func()
	// Verify is called when all bytes have been read and before anything is
	// visible; its error is returned.
	Verify func() error
}

// PutLarge writes an object of any size. The bytes go to the store in parts,
// from the node that they arrive at; only making them visible is a write like
// any other, at the key's owner. The errors are those of Put and Verify,
// ErrTooLarge, and whatever Body fails with: after these nothing was written.
func (p *Path) PutLarge(ctx context.Context, k keys.Key, w Upload) (Result, error) {
	if err := canExpire(k, w.ExpiresIn); err != nil {
		return Result{}, err
	}
	p.counts.inParts.Add(1)
	defer func() {
		if p.counts.inParts.Add(-1) == 0 {
			p.uploads.buffers.trim()
		}
	}()
	h := w.Conditions.Claim.onto(w.Head)
	h.Modified = dateOf(time.Now()) // the store wants it first
	h.Piece = p.cfg.ChunkSize
	if w.ExpiresIn > 0 { // and this too
		h.Expires = momentIn(w.ExpiresIn)
	}
	u, err := p.store.Begin(ctx, k.Place(), h)
	if err != nil {
		return Result{}, notApplied(err)
	}
	t := &transfer{path: p, upload: u, user: userOf(k, h), sums: map[int][][sha256.Size]byte{}}
	defer t.letGo()
	if w.Cut == nil {
		w.Cut = func() {}
	}
	t.holder = p.uploads.buffers.pool.Hold(w.Cut)
	defer t.holder.Done()
	t.holder.Waits()
	if err := t.run(ctx, w.Body); err != nil {
		p.abort(u)
		return Result{}, notApplied(err)
	}
	if err := w.Verify(); err != nil {
		p.abort(u)
		return Result{}, err
	}
	p.putSums(ctx, k, u.Head.Write, t.allSums(k))
	if err := p.index(ctx, k, u.Head); err != nil {
		p.abort(u)
		p.dropSums(k, u.Head)
		return Result{}, err
	}
	r, err := p.route(ctx, k, op{
		Head: h, IfMatch: w.IfMatch, IfAbsent: w.IfAbsent, Claim: w.Conditions.Claim, InParts: true, Parts: parts{Upload: u, Parts: t.parts},
	})
	switch {
	case errors.Is(err, ErrUnknown):
		return r, err // the store may be completing it
	case err != nil:
		p.abort(u)
		p.dropSums(k, u.Head)
		p.unindex(k, u.Head)
		return r, notApplied(err)
	case r.Repeated:
		p.abort(u)
		p.dropSums(k, u.Head)
		return r, nil
	}
	p.spread(ctx, k, r.Head, t.kept)
	return r, nil
}

// notApplied says of an error that came before anything could become visible
// that nothing was written, if it would otherwise mean that this is unknown, or
// that the object is not there: the store has lost the upload.
func notApplied(err error) error {
	if isUnknown(err) || errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	return err
}

// abort gives back what an upload has stored. What cannot be given back now is
// found by the sweep; where that could remove an object, nothing is aborted.
func (p *Path) abort(u store.Upload) {
	if !p.store.Traits().AbortKeeps {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), abortLimit)
	defer cancel()
	if err := p.store.Abort(ctx, u); err != nil {
		p.log.Warn().Err(err).Str("key", u.Name).Msg("upload not aborted, left to the sweep")
	}
}

// transfer is one object on its way to the store in parts.
type transfer struct {
	path     *Path
	upload   store.Upload
	user     string         // whose memory it is
	holder   *budget.Holder // watches over the sender
	underWay atomic.Int32   // parts

	mu    sync.Mutex // guards the fields below
	parts []store.Part
	kept  map[int]kept                // by the part's number
	sums  map[int][][sha256.Size]byte // of the chunks of each part, by its number
}

// kept is a written part that waits to be put into memory.
type kept struct {
	bytes []byte
	grant *budget.Grant
}

// run reads body to its end and stores it. When it returns, no part is on its
// way any more and the parts are in order.
func (t *transfer) run(ctx context.Context, body io.Reader) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inParallel)
	err := t.readAll(ctx, body, g)
	if stored := g.Wait(); err == nil || stored != nil && errors.Is(err, context.Canceled) {
		err = stored
	}
	slices.SortFunc(t.parts, func(a, b store.Part) int { return a.Number - b.Number })
	return err
}

// allSums is the list of digests of all parts, which are in order.
func (t *transfer) allSums(k keys.Key) store.Sums {
	s := store.Sums{Name: k.Place(), Piece: t.path.cfg.ChunkSize}
	for _, part := range t.parts {
		s.Size += part.Size
		s.Digests = append(s.Digests, t.sums[part.Number]...)
	}
	return s
}

// leadSize is how much of a part arrives before it takes a buffer, so that who
// sends nothing holds none.
const leadSize = 64 << 10

// readAll reads one part after the other and hands each to the group.
func (t *transfer) readAll(ctx context.Context, body io.Reader, g *errgroup.Group) error {
	lead := make([]byte, min(leadSize, t.path.uploads.partSize))
	total := int64(0)
	for n := 1; ; n++ {
		buf, size, err := t.readPart(ctx, body, lead)
		total += int64(size)
		last := err == io.EOF //nolint:errorlint // a body's end is io.EOF itself; an error that wraps it is none
		if err != nil && !last || size == 0 && n > 1 || total > t.path.cfg.MaxObject {
			t.path.uploads.buffers.give(buf)
			switch {
			case total > t.path.cfg.MaxObject:
				return ErrTooLarge
			case last:
				return nil
			}
			return err
		}
		t.underWay.Add(1)
		g.Go(func() error { // which waits while as many as may be are on their way
			defer t.underWay.Add(-1)
			return t.store(ctx, n, buf, size)
		})
		if last {
			return nil
		}
	}
}

// readPart reads the next part into a buffer, which may be none after an error.
func (t *transfer) readPart(ctx context.Context, body io.Reader, lead []byte) (buf buffer, size int, err error) {
	size, err = t.fill(body, lead)
	if size == 0 || err != nil && err != io.EOF { //nolint:errorlint // as above
		return buf, size, err
	}
	buf, busy := t.path.uploads.buffers.take(ctx, t.user, func() bool { return t.underWay.Load() > 0 })
	if busy != nil {
		return buf, size, busy
	}
	copy(buf.bytes, lead[:size])
	if err != nil {
		return buf, size, err
	}
	more, err := t.fill(body, buf.bytes[size:])
	return buf, size + more, err
}

// fill reads until the buffer is full or the reader fails. io.ReadFull will not
// do: its io.ErrUnexpectedEOF for a body that ends within a part is also the
// error of a body that was cut short, which must never be taken for its end.
// Its sender is waited for here and nowhere else.
func (t *transfer) fill(r io.Reader, buf []byte) (n int, err error) {
	t.holder.Resumes()
	defer t.holder.Waits()
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
		t.holder.Moved(m)
	}
	return n, err
}

// store stores one part, and keeps its bytes if there is room to.
func (t *transfer) store(ctx context.Context, n int, buf buffer, size int) error {
	u, b := t.path.uploads, buf.bytes[:size]
	part, err := t.path.store.Part(ctx, t.upload, n, b)
	if err != nil {
		u.buffers.give(buf)
		return err
	}
	sums := digests(b, t.path.cfg.ChunkSize)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append(t.parts, part)
	t.sums[n] = sums
	if int64(n)*u.partSize <= keepAtMost {
		if grant, ok := u.kept.TryTake(t.user, u.partSize, 0); ok {
			if t.kept == nil {
				t.kept = map[int]kept{}
			}
			t.kept[n] = kept{b, grant}
			buf.grant.Release() // the memory is the other grant's from now on
			return nil
		}
	}
	u.buffers.give(buf)
	return nil
}

// letGo gives back the memory of what was kept.
func (t *transfer) letGo() {
	for _, k := range t.kept {
		k.grant.Release()
	}
	t.kept = nil
}

// spread puts written chunks into the memory of their owners, as far as that
// can be done soon. Nothing depends on it.
func (p *Path) spread(ctx context.Context, k keys.Key, h store.Head, written map[int]kept) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spreadLimit)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(inParallel)
	perPart := int(p.uploads.partSize / p.cfg.ChunkSize)
	for number, w := range written {
		part := w.bytes
		for i, n := 0, (number-1)*perPart; int64(i)*p.cfg.ChunkSize < int64(len(part)); i, n = i+1, n+1 {
			chunk := part[int64(i)*p.cfg.ChunkSize : min(int64(len(part)), int64(i+1)*p.cfg.ChunkSize)]
			g.Go(func() error { return p.memory.Prime(ctx, k, h, n, chunk) })
		}
	}
	if err := g.Wait(); err != nil {
		p.log.Debug().Err(err).Stringer("key", k).Msg("not all written chunks are in memory")
	}
}
