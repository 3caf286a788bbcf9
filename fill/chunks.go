package fill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/golang/groupcache"

	"larder/keys"
	"larder/store"
)

// fetch is the context of one chunk's way through groupcache. Groupcache runs
// a flight on its first caller's context, so this is one that no caller can
// cancel; what it carries tells the getter and the peer what the chunk key
// does not say, and brings back what they found out.
type fetch struct {
	context.Context // never cancelled; the getter and the peer bound themselves

	size   int64  // of the whole object
	primed []byte // the chunk itself, when it is here already
	noHop  bool   // asked by a peer: do not ask another

	source  Source // set by whoever fetched; empty if memory had the chunk
	verdict error  // what the owner said for certain: the store need not be asked again
}

type fetchKey struct{}

func (c *fetch) Value(key any) any {
	if key == (fetchKey{}) {
		return c
	}
	return nil
}

// chunk returns chunk n of the version that the head names. If the store no
// longer has that version: store.ErrPrecondition.
func (f *Filler) chunk(k keys.Key, h store.Head, n int) (groupcache.ByteView, Source, error) {
	if h.Size == 0 {
		return groupcache.ByteView{}, Memory, nil
	}
	return f.get(keys.Chunk(k, h.Version, n), f.chunkLen(h.Size, n), &fetch{Context: context.Background(), size: h.Size})
}

func (f *Filler) get(chunkKey string, length int64, c *fetch) (groupcache.ByteView, Source, error) {
	var v groupcache.ByteView
	if err := f.chunks.Get(c, chunkKey, groupcache.ByteViewSink(&v)); err != nil {
		return v, "", err
	}
	if int64(v.Len()) != length {
		return v, "", fmt.Errorf("chunk of %d bytes where %d were expected: %w", v.Len(), length, store.ErrUnexpected)
	}
	if c.source == "" {
		_, _ = v.WriteTo((*origin)(c)) // an origin takes everything
	}
	return v, c.source, nil
}

// chunkLen is the length of chunk n of an object of this size.
func (f *Filler) chunkLen(size int64, n int) int64 {
	return min(f.cfg.ChunkSize, size-int64(n)*f.cfg.ChunkSize)
}

// prime puts a chunk that is here already into the memory tier: the bytes of a
// cold read or of a write. If memory has it, nothing changes.
func (f *Filler) prime(k keys.Key, version string, n int, v groupcache.ByteView) {
	if v.Len() == 0 {
		return
	}
	c := &fetch{Context: context.Background(), primed: bytesOf(v), noHop: true}
	if _, _, err := f.get(keys.Chunk(k, version, n), int64(v.Len()), c); err != nil {
		f.log.Warn().Err(err).Stringer("key", k).Msg("chunk not kept in memory")
	}
}

// Prime puts chunk n of a version that was just written into the memory of the
// node that owns it, so that nobody reads it from the store. The bytes must not
// change any more.
func (f *Filler) Prime(ctx context.Context, k keys.Key, h store.Head, n int, chunk []byte) error {
	if int64(len(chunk)) != f.chunkLen(h.Size, n) {
		return fmt.Errorf("prime %s: chunk %d of %d bytes: %w", k, n, len(chunk), store.ErrUnexpected)
	}
	owner, self := f.ring.Owner(keys.ChunkHash(k, n))
	if !self {
		return f.sendChunk(ctx, owner, keys.Chunk(k, h.Version, n), h.Size, chunk)
	}
	if cap(chunk) > 2*len(chunk) {
		chunk = bytes.Clone(chunk) // a piece would keep the whole of its buffer
	}
	f.prime(k, h.Version, n, viewOf(chunk))
	return nil
}

// load is groupcache's getter: the chunk from the store. It runs on the owner,
// or on a node whose owner gave no answer.
func (f *Filler) load(ctx context.Context, chunkKey string, dest groupcache.Sink) (err error) {
	c := ctx.Value(fetchKey{}).(*fetch)
	if c.primed != nil {
		return f.admit(dest, c.primed)
	}
	if c.verdict != nil {
		return c.verdict
	}
	k, version, n, err := keys.ParseChunk(chunkKey)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = f.panicked(k, p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	length := f.chunkLen(c.size, n)
	if err := reserve(ctx, f.budgets.loads, length); err != nil {
		return err
	}
	defer f.budgets.loads.Release(length)
	c.source = S3
	b, err := f.store.GetRange(ctx, k.Place(), version, int64(n)*f.cfg.ChunkSize, length)
	if errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotFound) {
		f.dropVersion(k, version)
		return fmt.Errorf("get %s version %s: %w", k, version, store.ErrPrecondition)
	}
	if err != nil {
		return outOfTime(err)
	}
	return f.admit(dest, b)
}

// PickPeer is groupcache's question who owns a chunk.
func (f *Filler) PickPeer(chunkKey string) (groupcache.ProtoGetter, bool) {
	k, _, n, err := keys.ParseChunk(chunkKey)
	if err != nil {
		return nil, false
	}
	m, self := f.ring.Owner(keys.ChunkHash(k, n))
	if self {
		return nil, false
	}
	return peer{filler: f, member: m}, true
}

// Groupcache takes one function for the whole process that finds a group's
// picker, so the pickers of the process have to be found by group name.
var (
	registerPickers sync.Once //nolint:gochecknoglobals // as groupcache's own registry
	pickers         sync.Map  //nolint:gochecknoglobals // group name → *Filler
)

func newGroup(name string, memory int64, f *Filler) *groupcache.Group {
	registerPickers.Do(func() {
		groupcache.RegisterPerGroupPeerPicker(func(group string) groupcache.PeerPicker {
			p, _ := pickers.Load(group)
			return p.(*Filler)
		})
	})
	pickers.Store(name, f)
	return groupcache.NewGroup(name, memory, groupcache.GetterFunc(f.load))
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
