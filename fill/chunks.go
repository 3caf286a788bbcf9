package fill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/golang/groupcache"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// chunk is a chunk of a version. Its bytes never change.
type chunk struct {
	key     keys.Key
	version keys.Version
	n       int
	size    int64  // of the whole object
	length  int64  // of the chunk
	digest  string // SHA-256 in hex, if the head says it: of an object of one chunk
	listed  bool   // the store has a list of the digests of the object's chunks
}

// id is the chunk's name in the memory tier.
func (c chunk) id() string { return keys.Chunk(c.key, c.version, c.n) }

// chunkOf is chunk n of the version that the head names.
func (f *Filler) chunkOf(k keys.Key, h store.Head, n int) chunk {
	c := chunk{key: k, version: versionOf(h), n: n, size: h.Size, length: f.chunkLen(h.Size, n)}
	return f.withDigest(c, h)
}

// withDigest is a chunk with what its head says of its digest.
func (f *Filler) withDigest(c chunk, h store.Head) chunk {
	if c.length == c.size {
		c.digest = h.Digest
	}
	c.listed = h.Piece == f.cfg.ChunkSize
	return c
}

// versionOf is what tells the bytes of a head from all others of its key.
func versionOf(h store.Head) keys.Version {
	return keys.Version{ETag: h.Version, Write: h.WriteName()}
}

// chunkLen is the length of chunk n of an object of this size.
func (f *Filler) chunkLen(size int64, n int) int64 {
	return min(f.cfg.ChunkSize, size-int64(n)*f.cfg.ChunkSize)
}

// chunk returns a chunk, from wherever it is to be had. If the store no
// longer has its version: store.ErrPrecondition.
func (f *Filler) chunk(c chunk) (groupcache.ByteView, Source, error) {
	if c.length == 0 {
		return groupcache.ByteView{}, Memory, nil
	}
	owner, self := f.ring.Owner(keys.ChunkHash(c.key, c.n))
	if self {
		return f.ownChunk(c)
	}
	return f.copyOf(c, owner, nil)
}

// chunkToSend returns a chunk as chunk does, for one caller who will not share it
// with others. If another node owns it, and nobody else here wants it now or is
// likely to soon, it is on its way: the relay is not nil. p counts its memory.
func (f *Filler) chunkToSend(c chunk, p *pin) (groupcache.ByteView, *relay, Source, error) {
	owner, self := f.ring.Owner(keys.ChunkHash(c.key, c.n))
	if self || c.length == 0 || p.shared() || f.copies.known(c.id(), c.length) {
		v, source, err := f.chunk(c)
		return v, nil, source, err
	}
	r, source, err := f.askRelay(c, owner)
	if err == nil {
		return groupcache.ByteView{}, r, source, nil
	}
	v, source, err := f.copyOf(c, owner, err)
	return v, nil, source, err
}

// fetch is the context of one chunk's way through groupcache. Groupcache runs
// a flight on its first caller's context, so this is one that no caller can
// cancel; what it carries tells load what the chunk's key does not say, and
// brings back what load found out.
type fetch struct {
	context.Context // never cancelled; load bounds itself

	chunk  chunk
	primed []byte // the chunk itself, when it is here already
	inOwn  bool   // it only looks: errNotHeld unless memory has the chunk
	source Source // set by load; empty if memory had the chunk
}

// errNotHeld says that this node does not hold a chunk as its owner.
var errNotHeld = errors.New("not in memory")

type fetchKey struct{}

func (q *fetch) Value(key any) any {
	if key == (fetchKey{}) {
		return q
	}
	return nil
}

// ownChunk returns a chunk that this node owns: from memory, or from the store.
func (f *Filler) ownChunk(c chunk) (groupcache.ByteView, Source, error) {
	return f.get(&fetch{Context: context.Background(), chunk: c})
}

func (f *Filler) get(q *fetch) (groupcache.ByteView, Source, error) {
	var v groupcache.ByteView
	id := q.chunk.id()
	err := f.owned.Get(q, id, groupcache.ByteViewSink(&v))
	for errors.Is(err, errNotHeld) && !q.inOwn { // it joined somebody who only looked
		err = f.owned.Get(q, id, groupcache.ByteViewSink(&v))
	}
	if err != nil {
		return v, "", err
	}
	if int64(v.Len()) != q.chunk.length {
		return v, "", fmt.Errorf("chunk of %d bytes where %d were expected: %w", v.Len(), q.chunk.length, store.ErrUnexpected)
	}
	if q.source == "" {
		return v, Memory, nil
	}
	f.copies.fit()
	return v, q.source, nil
}

// load is groupcache's getter: a chunk that this node owns, from the copies if
// another node owned it until now, or from the store.
func (f *Filler) load(ctx context.Context, id string, dest groupcache.Sink) error {
	q := ctx.Value(fetchKey{}).(*fetch)
	if q.primed != nil {
		q.source = Memory
		return f.admit(dest, q.primed)
	}
	if q.inOwn {
		return errNotHeld
	}
	if v, ok := f.copies.take(id); ok {
		q.source = Hot
		return f.admit(dest, bytesOf(v))
	}
	q.source = S3
	b, err := f.readChunk(q.chunk)
	if err != nil {
		return err
	}
	return f.admit(dest, b)
}

// readChunk reads a chunk from the store, and compares it with its digest.
func (f *Filler) readChunk(c chunk) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = f.panicked(c.key, p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	if err := reserve(ctx, f.budgets.loads, c.length); err != nil {
		return nil, err
	}
	defer f.budgets.loads.Release(c.length)
	err = twice(func() (err error) {
		b, err = f.readRange(ctx, c)
		return err
	})
	return b, outOfTime(err)
}

// readRange is one try of readChunk. What is there under the chunk's ETag may be
// another write's: then the version is gone.
func (f *Filler) readRange(ctx context.Context, c chunk) ([]byte, error) {
	h, b, err := f.store.GetRange(ctx, c.key.Place(), c.version.ETag, int64(c.n)*f.cfg.ChunkSize, c.length)
	gone := errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotFound)
	if gone || err == nil && (!h.Is(c.version.ETag, c.version.Write) || h.Size != c.size) {
		f.heads.DropVersion(c.key, c.version)
		return nil, fmt.Errorf("get %s version %s: %w", c.key, c.version.ETag, store.ErrPrecondition)
	}
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != c.length {
		return nil, fmt.Errorf("chunk of %d bytes where %d were expected: %w", len(b), c.length, store.ErrUnexpected)
	}
	return b, f.checkSum(ctx, f.withDigest(c, h), b, h.Sum, S3)
}

// copyOf returns a chunk that another node owns: from this node's copies, from
// the owner, or, if that does not have it to give, from what this node owned
// before. If the owner gives no answer, then from the store. If the owner was
// asked already and has not given all of it, refused says why.
func (f *Filler) copyOf(c chunk, owner cluster.Member, refused error) (groupcache.ByteView, Source, error) {
	id := c.id()
	if v, ok := f.copies.get(id); ok {
		return v, Hot, nil
	}
	got, err := f.copies.flights.Do(id, func() (any, error) {
		// Between the look above and here another flight may have ended:
		//
		//	1: no copy            2: no copy
		//	1: flies, fetches, keeps the copy, lands
		//	                      2: flies, alone
		if v, ok := f.copies.get(id); ok {
			return arrival{view: v, source: Hot}, nil
		}
		came, err := f.fetchCopy(c, owner, refused)
		if err == nil && refused == nil && f.copies.wanted(id, c.length) {
			f.copies.keep(id, came.view)
		}
		return came, err
	})
	came := got.(arrival)
	return came.view, came.source, err
}

// arrival is a chunk that another node owns, and where it came from.
type arrival struct {
	view   groupcache.ByteView
	source Source
}

func (f *Filler) fetchCopy(c chunk, owner cluster.Member, refused error) (came arrival, err error) {
	defer func() {
		if p := recover(); p != nil { // a panic would strand the chunk's other callers
			err = f.panicked(c.key, p)
		}
	}()
	var b []byte
	if err = refused; err == nil {
		b, came.source, err = f.askChunk(c, owner)
	}
	if err == nil {
		came.view = viewOf(b)
		return came, nil
	}
	if v, _, miss := f.get(&fetch{Context: context.Background(), chunk: c, inOwn: true}); miss == nil {
		return arrival{view: v, source: Memory}, nil
	}
	if errors.Is(err, errOwnerSays) {
		return arrival{}, err
	}
	f.log.Debug().Err(err).Str("peer", owner.Name).Msg("owner gave no chunk, reading the store")
	if b, err = f.readChunk(c); err != nil {
		return arrival{}, err
	}
	return arrival{view: viewOf(b), source: S3}, nil
}

// prime puts a chunk that is here already into the memory tier: the bytes of a
// cold read or of a write. If memory has it, nothing changes.
func (f *Filler) prime(c chunk, v groupcache.ByteView) {
	if v.Len() == 0 {
		return
	}
	if _, _, err := f.get(&fetch{Context: context.Background(), chunk: c, primed: bytesOf(v)}); err != nil {
		f.log.Warn().Err(err).Stringer("key", c.key).Msg("chunk not kept in memory")
	}
}

// Prime puts chunk n of a version that was just written into the memory of the
// node that owns it, so that nobody reads it from the store. The bytes must not
// change any more.
func (f *Filler) Prime(ctx context.Context, k keys.Key, h store.Head, n int, b []byte) error {
	c := f.chunkOf(k, h, n)
	if int64(len(b)) != c.length {
		return fmt.Errorf("prime %s: chunk %d of %d bytes: %w", k, n, len(b), store.ErrUnexpected)
	}
	owner, self := f.ring.Owner(keys.ChunkHash(k, n))
	if !self {
		return f.sendChunk(ctx, owner, c, b)
	}
	if cap(b) > 2*len(b) {
		b = bytes.Clone(b) // a piece would keep the whole of its buffer
	}
	f.prime(c, viewOf(b))
	return nil
}

// setNoCopy hands b over to groupcache. SetBytes would copy it, SetString does
// not; the bytes are never written again, by anyone.
func setNoCopy(dest groupcache.Sink, b []byte) error {
	return dest.SetString(unsafe.String(unsafe.SliceData(b), len(b)))
}

// viewOf is b as a view, without a copy. b must not change any more.
func viewOf(b []byte) groupcache.ByteView {
	var v groupcache.ByteView
	_ = setNoCopy(groupcache.ByteViewSink(&v), b) // a ByteViewSink takes every string
	return v
}

// bytesOf is the inverse of viewOf; the bytes must not be changed.
func bytesOf(v groupcache.ByteView) []byte {
	var b bytesWriter
	_, _ = v.WriteTo(&b) // a bytesWriter takes everything, in one call
	return b
}

// bytesWriter keeps the slice or string that it is given, not a copy: a
// ByteView writes itself in one call.
type bytesWriter []byte

func (w *bytesWriter) Write(b []byte) (int, error) {
	*w = b
	return len(b), nil
}

func (w *bytesWriter) WriteString(s string) (int, error) {
	*w = unsafe.Slice(unsafe.StringData(s), len(s))
	return len(s), nil
}
