package fill

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
	"unsafe"

	"github.com/golang/groupcache"

	"larder/store"
)

// owned are the chunks that this node owns. Groupcache fills them: one load of a
// chunk however many ask for it at once. What is kept lives here, in an LRU that
// counts what an entry really takes, and not in groupcache's own cache, which
// counts keys and bytes only. It is safe for concurrent use; one lock does, since
// a look takes a fraction of a microsecond of a request's tens.
type owned struct {
	group     *groupcache.Group // it keeps nothing; its keys are chunkTexts
	chunkSize int64
	load      func(c chunk, name string) ([]byte, Source, error)
	grown     func()              // told that more is kept
	freed     func(time.Duration) // told the age of each chunk that is evicted; may be nil
	most      int64               // bytes of memory

	mu        sync.Mutex // guards the fields below; held when freed is called
	kept      *sized
	evictions int64
}

// newOwned makes the tier of own chunks. The group that it registers lives as
// long as the process, since groupcache cannot forget one.
func newOwned(cfg Config, most int64, load func(chunk, string) ([]byte, Source, error), grown func()) (*owned, error) {
	kept, err := newSized(math.MaxInt) // bounded by bytes
	if err != nil {
		return nil, err
	}
	o := &owned{chunkSize: cfg.ChunkSize, load: load, grown: grown, freed: cfg.Freed, most: most, kept: kept}
	o.group = groupcache.NewGroup(cfg.Group, 0, groupcache.GetterFunc(o.fill))
	return o, nil
}

// Get returns a chunk and where it came from: memory, or wherever load found it.
// Who waits for another's load counts as memory.
func (o *owned) Get(c chunk, name string) ([]byte, Source, error) {
	if b, ok := o.Peek(name); ok {
		return b, Memory, c.isLong(b)
	}
	var v groupcache.ByteView
	dest := &sink{Sink: groupcache.ByteViewSink(&v), source: Memory}
	text := chunkText{size: c.size, chunk: o.chunkSize, name: name}.String()
	if err := o.group.Get(context.Background(), text, dest); err != nil {
		return nil, "", err
	}
	b := bytesOfView(v)
	return b, dest.source, c.isLong(b)
}

// isLong returns an error unless b is as long as the chunk.
func (c chunk) isLong(b []byte) error {
	if int64(len(b)) != c.length {
		return fmt.Errorf("chunk of %d bytes where %d were expected: %w", len(b), c.length, store.ErrUnexpected)
	}
	return nil
}

// Peek returns a chunk if memory has it.
func (o *owned) Peek(name string) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.get(name)
}

// Add keeps a chunk, whose bytes must not change any more. If memory has it,
// nothing changes.
func (o *owned) Add(name string, b []byte) {
	if len(b) == 0 || !o.add(name, b) {
		return
	}
	o.grown()
}

func (o *owned) add(name string, b []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, there := o.kept.get(name); there {
		return false
	}
	o.kept.add(name, b, bytesOf(name, b))
	o.evictions += o.kept.shrink(o.most, o.freed)
	return true
}

// bytes is how much memory the chunks take.
func (o *owned) bytes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.bytes
}

func (o *owned) held() Held {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Held{Bytes: o.kept.bytes, Chunks: int64(o.kept.lru.Len()), Evictions: o.evictions}
}

// fill is groupcache's getter.
func (o *owned) fill(_ context.Context, text string, dest groupcache.Sink) error {
	c, name, err := chunkNamed(text, o.chunkSize)
	if err != nil {
		return err
	}
	// Between the caller's look and here another flight may have ended:
	//
	//	1: no chunk           2: no chunk
	//	1: flies, loads, keeps the chunk, lands
	//	                      2: flies, alone
	if b, ok := o.Peek(name); ok {
		return setNoCopy(dest, b)
	}
	b, source, err := o.load(c, name)
	if err != nil {
		return err
	}
	o.Add(name, b)
	if s, ok := dest.(*sink); ok {
		s.source = source
	}
	return setNoCopy(dest, b)
}

// sink takes a chunk from groupcache, and where it came from.
type sink struct {
	groupcache.Sink
	source Source
}

// setNoCopy hands b over to groupcache. SetBytes would copy it, SetString does
// not; the bytes are never written again, by anyone.
func setNoCopy(dest groupcache.Sink, b []byte) error {
	return dest.SetString(unsafe.String(unsafe.SliceData(b), len(b)))
}

// bytesOfView are the bytes of a view, without a copy. They must not be changed.
func bytesOfView(v groupcache.ByteView) []byte {
	var b noCopy
	_, _ = v.WriteTo(&b) // it takes everything, in one call
	return b
}

// noCopy keeps the slice or string that it is given, not a copy: a ByteView
// writes itself in one call.
type noCopy []byte

func (w *noCopy) Write(b []byte) (int, error) {
	*w = b
	return len(b), nil
}

func (w *noCopy) WriteString(s string) (int, error) {
	*w = unsafe.Slice(unsafe.StringData(s), len(s))
	return len(s), nil
}
