package writepath

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"larder/fill"
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

// uploads bound the memory that uploads hold on this node.
type uploads struct {
	partSize int64
	buffers  *buffers            // of parts on their way
	kept     *semaphore.Weighted // bytes of parts that wait to be put into memory; nobody waits for it
	bodies   *semaphore.Weighted // bytes of objects of one chunk that other nodes forward
	most     int64               // of bodies
}

func newUploads(cfg Config) uploads {
	chunk := max(cfg.ChunkSize, 1)
	least := max(store.MinPart, cfg.MaxObject/store.MaxParts+1)
	part := (least + chunk - 1) / chunk * chunk // whole chunks
	bodies := max(cfg.Memory/32, 2*chunk)
	return uploads{
		partSize: part,
		buffers:  newBuffers(part, max(cfg.Memory/16/part, 2)),
		kept:     semaphore.NewWeighted(max(cfg.Memory/32, min(keepAtMost, cfg.Memory/4))),
		bodies:   semaphore.NewWeighted(bodies),
		most:     bodies,
	}
}

// admit waits until there is memory for a forwarded body of n bytes, or fails
// with fill.ErrBusy.
func (u uploads) admit(ctx context.Context, n int64) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, roomWait)
	defer cancel()
	if err := u.bodies.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("memory for a forwarded write: %w: %w", fill.ErrBusy, err)
	}
	return func() { u.bodies.Release(n) }, nil
}

// PutLarge writes an object of any size. The bytes go to the store in parts,
// from the node that they arrive at; only making them visible is a write like
// any other, at the key's owner. verify is called when all bytes have been read
// and before anything is visible; its error is returned. The other errors are
// those of Put, ErrTooLarge, and whatever body fails with: after these nothing
// was written.
func (p *Path) PutLarge(ctx context.Context, k keys.Key, h store.Head, body io.Reader, verify func() error, c Conditions) (Result, error) {
	p.counts.inParts.Add(1)
	defer func() {
		if p.counts.inParts.Add(-1) == 0 {
			p.uploads.buffers.trim()
		}
	}()
	h.Modified = dateOf(time.Now()) // the store wants it first
	h.Piece = p.cfg.ChunkSize
	u, err := p.store.Begin(ctx, k.Place(), h)
	if err != nil {
		return Result{}, notApplied(err)
	}
	t := &transfer{path: p, upload: u, sums: map[int][][sha256.Size]byte{}}
	defer t.letGo()
	if err := t.run(ctx, body); err != nil {
		p.abort(u)
		return Result{}, notApplied(err)
	}
	if err := verify(); err != nil {
		p.abort(u)
		return Result{}, err
	}
	p.putSums(ctx, k, t)
	r, err := p.route(ctx, k, op{
		Head: h, IfMatch: c.IfMatch, IfAbsent: c.IfAbsent, InParts: true, Parts: parts{Upload: u, Parts: t.parts},
	})
	switch {
	case errors.Is(err, ErrUnknown):
		return r, err // the store may be completing it
	case err != nil:
		p.abort(u)
		p.dropSums(k, u.Head)
		return r, notApplied(err)
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
	path   *Path
	upload store.Upload

	mu    sync.Mutex // guards the fields below
	parts []store.Part
	kept  map[int][]byte              // by the part's number
	sums  map[int][][sha256.Size]byte // of the chunks of each part, by its number
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

// readAll reads one part after the other and hands each to the group.
func (t *transfer) readAll(ctx context.Context, body io.Reader, g *errgroup.Group) error {
	u := t.path.uploads
	total := int64(0)
	for n := 1; ; n++ {
		buf, err := u.buffers.take(ctx)
		if err != nil {
			return err
		}
		size, err := fillBuffer(body, buf)
		total += int64(size)
		last := err == io.EOF //nolint:errorlint // a body's end is io.EOF itself; an error that wraps it is none
		if err != nil && !last || size == 0 && n > 1 || total > t.path.cfg.MaxObject {
			u.buffers.give(buf)
			switch {
			case total > t.path.cfg.MaxObject:
				return ErrTooLarge
			case last:
				return nil
			}
			return err
		}
		g.Go(func() error { return t.store(ctx, n, buf[:size]) })
		if last {
			return nil
		}
	}
}

// fillBuffer reads until the buffer is full or the reader fails. io.ReadFull
// will not do: its io.ErrUnexpectedEOF for a body that ends within a part is
// also the error of a body that was cut short, which must never be taken for
// its end.
func fillBuffer(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// store stores one part, and keeps its bytes if there is room to.
func (t *transfer) store(ctx context.Context, n int, b []byte) error {
	u := t.path.uploads
	part, err := t.path.store.Part(ctx, t.upload, n, b)
	if err != nil {
		u.buffers.give(b)
		return err
	}
	sums := digests(b, t.path.cfg.ChunkSize)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append(t.parts, part)
	t.sums[n] = sums
	if int64(n)*u.partSize <= keepAtMost && u.kept.TryAcquire(u.partSize) {
		if t.kept == nil {
			t.kept = map[int][]byte{}
		}
		t.kept[n] = b
		u.buffers.handOver()
		return nil
	}
	u.buffers.give(b)
	return nil
}

// letGo gives back the memory of what was kept.
func (t *transfer) letGo() {
	u := t.path.uploads
	u.kept.Release(int64(len(t.kept)) * u.partSize)
	t.kept = nil
}

// spread puts written chunks into the memory of their owners, as far as that
// can be done soon. Nothing depends on it.
func (p *Path) spread(ctx context.Context, k keys.Key, h store.Head, kept map[int][]byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spreadLimit)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(inParallel)
	perPart := int(p.uploads.partSize / p.cfg.ChunkSize)
	for number, part := range kept {
		for i, n := 0, (number-1)*perPart; int64(i)*p.cfg.ChunkSize < int64(len(part)); i, n = i+1, n+1 {
			chunk := part[int64(i)*p.cfg.ChunkSize : min(int64(len(part)), int64(i+1)*p.cfg.ChunkSize)]
			g.Go(func() error { return p.heads.Prime(ctx, k, h, n, chunk) })
		}
	}
	if err := g.Wait(); err != nil {
		p.log.Debug().Err(err).Stringer("key", k).Msg("not all written chunks are in memory")
	}
}
