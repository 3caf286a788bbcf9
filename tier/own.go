package tier

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"github.com/golang/groupcache"
	"github.com/golang/groupcache/singleflight"
)

// Held is what one part of the tier holds. Bytes are what the chunks take, all told.
type Held struct {
	Bytes, Chunks int64
	// Evictions since the node started.
	Evictions int64
}

// New makes the two parts of a tier of so many bytes. Freed is called with an own chunk
// that is evicted, and the time that it was in memory; it may be nil, must return soon,
// and must not call the tier. The groupcache group must have a name of its own in
// the process, and lives as long as that, since groupcache cannot forget one.
func New(group string, bytes int64, freed func(name string, b []byte, age time.Duration)) (*Own, *Hot) {
	own := &Own{freed: freed, most: bytes - bytes/hotShare, kept: NewLRU[[]byte]()}
	own.group = groupcache.NewGroup(group, 0, groupcache.GetterFunc(own.fill))
	hot := newHot(func() int64 { return bytes - min(own.most, own.Held().Bytes) })
	own.grown = hot.fit
	return own, hot
}

// Own are the chunks that this node owns. What is kept lives here, in an LRU that
// counts what an entry really takes, and not in groupcache's own cache, which
// counts keys and bytes only. One lock does, since a look takes a fraction of a
// microsecond of a request's tens.
type Own struct {
	group *groupcache.Group                   // it keeps nothing; its keys are the names
	grown func()                              // called after more was kept
	freed func(string, []byte, time.Duration) // may be nil
	most  int64                               // bytes of memory

	mu        sync.Mutex // guards the fields below; held when freed is called
	kept      *LRU[[]byte]
	evictions int64
}

// Get returns a chunk if memory has it.
func (o *Own) Get(name string) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.Get(name)
}

// Has reports whether memory has a chunk, which is then not used later than it was.
func (o *Own) Has(name string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.has(name)
}

// Remove gives up a chunk that another node owns now.
func (o *Own) Remove(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept.remove(name)
}

// Newest are the names of all chunks, those used last first.
func (o *Own) Newest() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.newest()
}

// Fill returns a chunk from memory, or what load returns, which is then kept. Of all
// callers at once for one chunk, one has its load called, in its own goroutine.
func (o *Own) Fill(name string, load func() ([]byte, error)) ([]byte, error) {
	var b string // a view of the bytes: StringSink copies nothing
	err := o.group.Get(context.Background(), name, &sink{Sink: groupcache.StringSink(&b), load: load})
	return unsafe.Slice(unsafe.StringData(b), len(b)), err
}

// fill is groupcache's getter. Between the caller's look and here another flight may
// have ended:
//
//	1: no chunk           2: no chunk
//	1: flies, loads, keeps the chunk, lands
//	                      2: flies, alone
func (o *Own) fill(_ context.Context, name string, dest groupcache.Sink) error {
	b, ok := o.Get(name)
	if !ok {
		var err error
		if b, err = dest.(*sink).load(); err != nil {
			return err
		}
		o.Add(name, b)
	}
	// SetBytes would copy the bytes. They are never written again, by anyone.
	return dest.SetString(unsafe.String(unsafe.SliceData(b), len(b)))
}

// Add keeps a chunk, whose bytes must not change any more. If memory has it,
// nothing changes.
func (o *Own) Add(name string, b []byte) {
	if len(b) > 0 && o.add(name, b) {
		o.grown()
	}
}

func (o *Own) add(name string, b []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, there := o.kept.Get(name); there {
		return false
	}
	o.kept.Add(name, b, sizeOf(name, b))
	o.evictions += o.kept.Shrink(o.most, o.freed)
	return true
}

// Held counts what there is.
func (o *Own) Held() Held {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.held(o.evictions)
}

// sink takes a chunk from groupcache, and carries to its getter how the chunk is
// loaded.
type sink struct {
	groupcache.Sink
	load func() ([]byte, error)
}

// Flights call a function for each name at most once at a time: whoever comes
// meanwhile waits for what that call returns. The zero value is ready.
type Flights[T any] struct{ group singleflight.Group }

// Do calls fn, or waits for the call that is under way.
func (f *Flights[T]) Do(name string, fn func() (T, error)) (T, error) {
	got, err := f.group.Do(name, func() (any, error) { return fn() })
	return got.(T), err
}
