package tier

import (
	"context"
	"unsafe"

	"github.com/golang/groupcache"
	"github.com/golang/groupcache/singleflight"
)

// Own are the chunks that this node owns. What is kept lives here, in a FIFO that
// counts what an entry really takes, and not in groupcache's own cache, which
// counts keys and bytes only. One lock does, since a look takes a fraction of a
// microsecond of a request's tens.
type Own struct {
	*memory
	group *groupcache.Group // it keeps nothing; its keys are the names
}

func newOwn(group string, m *memory) *Own {
	o := &Own{memory: m}
	o.group = groupcache.NewGroup(group, 0, groupcache.GetterFunc(o.fill))
	return o
}

// Get returns a chunk if memory has it, and notes that it was used. It does not keep the
// name.
func (o *Own) Get(name string) ([]byte, bool) {
	is := idOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.own.Get(is)
}

// Peek returns a chunk if memory has it.
func (o *Own) Peek(name string) ([]byte, bool) {
	is := idOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.own.Peek(is)
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
	b, ok := o.Peek(name)
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
	if len(b) == 0 {
		return
	}
	is := idOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.own.Add(is, b) {
		o.fit()
	}
}

// Held counts what there is.
func (o *Own) Held() Held {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.own.Held()
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
