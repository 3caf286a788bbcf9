package tier

import (
	"context"
	"unsafe"

	"github.com/golang/groupcache"
	"github.com/golang/groupcache/singleflight"
	"github.com/zeebo/xxh3"
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
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.own.Get(is)
	return c.bytes, ok
}

// Peek returns a chunk if memory has it.
func (o *Own) Peek(name string) ([]byte, bool) {
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.own.Peek(is)
	return c.bytes, ok
}

// Fill returns a chunk from memory, or what load returns, which is then kept. Of all
// callers at once for one chunk, one has its load called, in its own goroutine. The slot
// is that of Add.
func (o *Own) Fill(name string, slot uint64, load func() ([]byte, error)) ([]byte, error) {
	var b string // a view of the bytes: StringSink copies nothing
	err := o.group.Get(context.Background(), name, &sink{Sink: groupcache.StringSink(&b), slot: slot, load: load})
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
		from := dest.(*sink)
		if b, err = from.load(); err != nil {
			return err
		}
		o.Add(name, from.slot, b)
	}
	// SetBytes would copy the bytes. They are never written again, by anyone.
	return dest.SetString(unsafe.String(unsafe.SliceData(b), len(b)))
}

// Remembers reports whether a chunk was used lately that memory does not have, so that it
// stays for long if it is added now.
func (o *Own) Remembers(name string) bool {
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.own.Remembers(is)
}

// Remember notes that a chunk of this length was used, which memory does not have.
func (o *Own) Remember(name string, length int64) {
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own.Remember(is, entryBytes+allocated(length))
	o.fit()
}

// Sum returns the XXH3 of a chunk that memory has. It is taken once.
func (o *Own) Sum(name string) (sum uint64, ok bool) {
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.own.Peek(is)
	if ok && c.sum == 0 {
		o.mu.Unlock() // its bytes never change
		c.sum = xxh3.Hash(c.bytes)
		o.mu.Lock()
		o.own.Change(is, func(kept *chunk) { kept.sum = c.sum })
	}
	return c.sum, ok
}

// Add keeps a chunk, whose bytes must not change any more, under the slot by which it has
// its owner. If memory has it, nothing changes.
func (o *Own) Add(name string, slot uint64, b []byte) {
	if len(b) == 0 {
		return
	}
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.own.Add(is, chunk{slot: slot, bytes: b}) {
		o.fit()
	}
}

// Remove gives up a chunk that another node owns now, and returns it if it was there.
func (o *Own) Remove(name string) ([]byte, bool) {
	is := IDOf(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.own.Remove(is)
	o.fit()
	return c.bytes, ok
}

// Has reports whether memory has a chunk.
func (o *Own) Has(is ID) bool {
	_, ok := o.At(is)
	return ok
}

// At returns a chunk by its ID.
func (o *Own) At(is ID) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.own.Peek(is)
	return c.bytes, ok
}

// Kept is a chunk that memory has.
type Kept struct {
	ID   ID
	Slot uint64
}

// Best are n chunks, or all if there are fewer: those that are worth most, the best first.
func (o *Own) Best(n int) []Kept {
	o.mu.Lock()
	defer o.mu.Unlock()
	best := make([]Kept, 0, min(n, len(o.own.entries.now)))
	for is, c := range o.own.All() {
		if len(best) == cap(best) {
			break
		}
		best = append(best, Kept{is, c.slot})
	}
	return best
}

// demotedAtOnce is how many chunks Demote looks at before it lets others have the lock.
const demotedAtOnce = 256

// Demote makes copies of the chunks that another node owns now: they give way to all that
// only this node has. The function reports whether this node owns a slot; it must return soon.
func (o *Own) Demote(owns func(slot uint64) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := 0
	for is, e := range o.own.entries.now { // what comes or goes meanwhile may be in it or not
		if seen++; seen%demotedAtOnce == 0 {
			o.mu.Unlock()
			o.mu.Lock() // others have had their turn
		}
		if owns(e.value.slot) {
			continue
		}
		if c, ok := o.own.Remove(is); ok {
			o.fit()
			o.hot.Add(is, c)
		}
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
	slot uint64
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
