package tier

import (
	"math"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// entryBytes is what a chunk takes in memory beside its name and its bytes: an
// entry of the LRU's list, and a slot of its map, which is two thirds full on
// average.
const entryBytes = 112 + 48

// sizeOf is what a chunk takes in memory, all told.
func sizeOf(name string, b []byte) int64 {
	return entryBytes + allocated(int64(len(name))) + allocated(int64(cap(b)))
}

// allocated is about what Go's allocator takes for n bytes: it rounds up to sizes
// that are an eighth apart at most, and large ones to whole pages.
func allocated(n int64) int64 {
	if n > 32<<10 {
		return (n + 8191) &^ 8191
	}
	return (n + n/16 + 15) &^ 15
}

// LRU keeps values by name, knows how much memory they take, and gives up those
// that were not used for longest. It is not safe for concurrent use.
type LRU[V any] struct {
	lru   *simplelru.LRU[string, entry[V]]
	bytes int64
}

type entry[V any] struct {
	value V
	bytes int64 // of memory
	since int64 // when it came, in nanoseconds
}

// NewLRU makes an LRU that is bounded by Shrink alone.
func NewLRU[V any]() *LRU[V] { return newLRU[V](math.MaxInt) }

// newLRU makes an LRU of so many values at most, at least one.
func newLRU[V any](most int) *LRU[V] {
	l := &LRU[V]{}
	l.lru, _ = simplelru.NewLRU(most, func(_ string, e entry[V]) { l.bytes -= e.bytes }) // it refuses only sizes below one
	return l
}

// Get returns a value, and makes it the one used last.
func (l *LRU[V]) Get(name string) (V, bool) {
	e, ok := l.lru.Get(name)
	return e.value, ok
}

// has reports whether a value is there.
func (l *LRU[V]) has(name string) bool { return l.lru.Contains(name) }

// remove removes a value, and reports whether it was there.
func (l *LRU[V]) remove(name string) bool { return l.lru.Remove(name) }

// Add adds a value that is not there.
func (l *LRU[V]) Add(name string, v V, bytes int64) {
	l.lru.Add(name, entry[V]{value: v, bytes: bytes, since: time.Now().UnixNano()})
	l.bytes += bytes
}

// Shrink gives up the values that were not used for longest, until the others take
// no more than there is room for. It returns how many it gave up, and calls gone,
// unless that is nil, with each and how long it was there.
func (l *LRU[V]) Shrink(room int64, gone func(name string, v V, age time.Duration)) (n int64) {
	now := time.Now().UnixNano()
	for ; l.bytes > room; n++ {
		name, e, _ := l.lru.RemoveOldest()
		if gone != nil {
			gone(name, e.value, time.Duration(now-e.since))
		}
	}
	return n
}

// newest are the names, those used last first.
func (l *LRU[V]) newest() []string {
	names := l.lru.Keys()
	slices.Reverse(names)
	return names
}

// oldest is the name of what was not used for longest.
func (l *LRU[V]) oldest() (name string, ok bool) {
	name, _, ok = l.lru.GetOldest()
	return name, ok
}

// held counts what there is.
func (l *LRU[V]) held(evictions int64) Held {
	return Held{Bytes: l.bytes, Chunks: int64(l.lru.Len()), Evictions: evictions}
}
