package tier

import (
	"iter"
	"slices"
	"time"
)

const (
	// smallShare is the part of the memory for what has not been used again: one in
	// so many bytes.
	smallShare = 10
	// usesToStay is how often a value has to be used, among so few bytes, to stay.
	usesToStay = 2
	// mostUses bounds how many rounds a value is spared that was used often.
	mostUses = 3
	// mostSpared bounds what one eviction looks at, since a lock is held meanwhile.
	mostSpared = 256
)

// FIFO keeps values by name in so many bytes, and gives up those that are least
// likely to be used again. It is S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi: "FIFO
// queues are all you need for cache eviction", SOSP 2023). What is new enters a
// small queue. At its end stays what was used there, and the rest leaves soon, so
// that who reads much once does not drive out what is used. The name of what left is
// remembered as a ghost: if it comes back it stays. What stays is in the main queue,
// at whose end it goes back to the beginning as often as it was used meanwhile.
//
// It never takes more bytes than it may. It is not safe for concurrent use.
type FIFO[K comparable, V any] struct {
	most    int64 // bytes of memory
	bytes   int64 // that the values take
	entries table[K, *entry[K, V]]
	small   queue[K, V]
	main    queue[K, V]
	ghosts  ghosts[K]
	size    func(K, V) int64
	gone    func(name K, v V, age time.Duration) // may be nil

	evictions int64
}

// entry is a value, and a link of a queue. Of a chunk it takes 80 bytes.
type entry[K comparable, V any] struct {
	name         K
	value        V
	newer, older *entry[K, V]
	came         uint32 // at this tick
	uses         uint8  // since it entered its queue, at most mostUses
	inMain       bool
}

// tick is what ages are counted in: they are right up to two years.
const tick = 1 << 24 * time.Nanosecond

// ticks is the time now. It begins anew every two years.
func ticks() uint32 { return uint32(time.Now().UnixNano() / int64(tick)) }

// NewFIFO makes a FIFO of so many bytes. Size is how many of them a value takes, always
// the same, with its name and all else. Gone is called with a value that is evicted and
// the time that it was there; it may be nil, and must not call the FIFO.
func NewFIFO[K comparable, V any](most int64, size func(K, V) int64, gone func(name K, v V, age time.Duration)) *FIFO[K, V] {
	return &FIFO[K, V]{most: most, size: size, gone: gone, entries: newTable[K, *entry[K, V]](), ghosts: newGhosts[K]()}
}

// Get returns a value, and notes that it was used.
func (f *FIFO[K, V]) Get(name K) (v V, ok bool) {
	e := f.entries.now[name]
	if e == nil {
		return v, false
	}
	e.uses = min(e.uses+1, mostUses)
	return e.value, true
}

// Peek returns a value, and notes nothing.
func (f *FIFO[K, V]) Peek(name K) (v V, ok bool) {
	if e := f.entries.now[name]; e != nil {
		return e.value, true
	}
	return v, false
}

// Add adds a value at the cost of others. It changes nothing if the name is there, or
// there is no room for the value alone. It reports whether the value was added.
func (f *FIFO[K, V]) Add(name K, v V) bool {
	bytes := f.size(name, v)
	if _, there := f.entries.now[name]; there || bytes > f.most {
		return false
	}
	returns := f.ghosts.take(name)
	f.fit(f.most - bytes)
	e := &entry[K, V]{name: name, value: v, came: ticks(), inMain: returns}
	f.entries.set(name, e)
	f.bytes += bytes
	f.push(e)
	return true
}

// Change has a value changed in place, if it is there. Its size must stay.
func (f *FIFO[K, V]) Change(name K, change func(*V)) {
	if e := f.entries.now[name]; e != nil {
		change(&e.value)
	}
}

// Remove removes a value, and returns it if it was there.
func (f *FIFO[K, V]) Remove(name K) (v V, ok bool) {
	e := f.entries.now[name]
	if e == nil {
		return v, false
	}
	f.unlink(e)
	f.drop(e)
	return e.value, true
}

// Remember has a value that is not there stay as soon as it is added, until so much
// else has come that it would not have lasted.
func (f *FIFO[K, V]) Remember(name K, bytes int64) {
	if _, there := f.entries.now[name]; there || bytes > f.most {
		return
	}
	f.ghosts.add(name, bytes)
	f.ghosts.shrink(f.most)
	f.fit(f.most)
}

// Remembers reports whether a value would stay if it were added now.
func (f *FIFO[K, V]) Remembers(name K) bool { return f.ghosts.has(name) }

// Resize sets how many bytes there are. Values that there is no room for any more are
// evicted.
func (f *FIFO[K, V]) Resize(most int64) {
	if f.most != most {
		f.most = most
		f.ghosts.shrink(most)
		f.fit(most)
	}
}

// compact gives back memory that the maps needed before. It calls pause every now and then,
// and others may use the FIFO meanwhile, but not compact it.
func (f *FIFO[K, V]) compact(pause func()) {
	f.entries.compact(pause)
	f.ghosts.last.compact(pause)
	f.ghosts.queue = slices.Clone(f.ghosts.queue)
}

// All are the values, those first that stay longest as things are.
func (f *FIFO[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, newest := range []*entry[K, V]{f.main.newest, f.small.newest} {
			for e := newest; e != nil; e = e.older {
				if !yield(e.name, e.value) {
					return
				}
			}
		}
	}
}

// Held counts what there is.
func (f *FIFO[K, V]) Held() Held {
	return Held{Bytes: f.taken(), Chunks: int64(len(f.entries.now)), Evictions: f.evictions}
}

// taken is how many bytes of memory are taken.
func (f *FIFO[K, V]) taken() int64 { return f.bytes + f.ghosts.taken() }

// fit evicts values, and then forgets ghosts, until the rest takes no more than room.
func (f *FIFO[K, V]) fit(room int64) {
	for f.taken() > room && len(f.entries.now) > 0 {
		f.evict()
	}
	for f.taken() > room && f.ghosts.forget() {
	}
}

// evict evicts one value.
func (f *FIFO[K, V]) evict() {
	for spared := 0; ; spared++ {
		e := f.main.oldest
		if e == nil || f.small.bytes > f.most/smallShare {
			e = f.small.oldest
		}
		f.unlink(e)
		switch {
		case spared < mostSpared && e.inMain && e.uses > 0:
			e.uses--
		case spared < mostSpared && !e.inMain && e.uses >= usesToStay:
			e.inMain, e.uses = true, 0
		default:
			f.evicted(e)
			return
		}
		f.push(e)
	}
}

// evicted lets a value go that is in no queue any more.
func (f *FIFO[K, V]) evicted(e *entry[K, V]) {
	f.drop(e)
	f.evictions++
	if f.gone != nil {
		f.gone(e.name, e.value, time.Duration(ticks()-e.came)*tick)
	}
	if !e.inMain {
		f.ghosts.add(e.name, f.size(e.name, e.value))
		f.ghosts.shrink(f.most / 2) // more ghosts take more memory than they are worth
	}
}

// drop forgets a value that is in no queue any more.
func (f *FIFO[K, V]) drop(e *entry[K, V]) {
	f.entries.remove(e.name)
	f.bytes -= f.size(e.name, e.value)
}

// push puts an entry at the beginning of the queue that it belongs to.
func (f *FIFO[K, V]) push(e *entry[K, V]) {
	q := f.queueOf(e)
	e.older, e.newer = q.newest, nil
	if q.newest != nil {
		q.newest.newer = e
	} else {
		q.oldest = e
	}
	q.newest = e
	q.bytes += f.size(e.name, e.value)
}

// unlink takes an entry out of its queue.
func (f *FIFO[K, V]) unlink(e *entry[K, V]) {
	q := f.queueOf(e)
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		q.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		q.oldest = e.newer
	}
	e.newer, e.older = nil, nil
	q.bytes -= f.size(e.name, e.value)
}

func (f *FIFO[K, V]) queueOf(e *entry[K, V]) *queue[K, V] {
	if e.inMain {
		return &f.main
	}
	return &f.small
}

// queue links entries in the order in which they came.
type queue[K comparable, V any] struct {
	newest, oldest *entry[K, V]
	bytes          int64
}
