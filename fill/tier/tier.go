package tier

import (
	"crypto/sha256"
	"sync"
	"time"
	"unsafe"
)

// hotShare is the part of the memory tier that is for hot copies where the
// node's own chunks would fill all of it: one in so many bytes. Groupcache would
// give a ninth, which every node fills with the same.
const hotShare = 32

// resizeSteps is how many steps a tier takes towards nothing, about.
const resizeSteps = 128

// entryBytes is what a chunk takes in memory beside its bytes: an entry of a queue,
// and a slot of the map, which is half full when it has just grown.
const entryBytes = 80 + 48

// chunk is one that the tier keeps.
type chunk struct {
	slot  uint64 // by which it has its owner
	sum   uint64 // XXH3 of its bytes, once somebody has asked for it
	bytes []byte
}

// sizeOf is what a chunk takes in memory, all told.
func sizeOf(_ ID, c chunk) int64 { return entryBytes + allocated(int64(cap(c.bytes))) }

// allocated is about what Go's allocator takes for n bytes: it rounds up to sizes
// that are an eighth apart at most, and large ones to whole pages.
func allocated(n int64) int64 {
	if n > 32<<10 {
		return (n + 8191) &^ 8191
	}
	return (n + n/16 + 15) &^ 15
}

// ID stands for the name of a chunk: half of its SHA-256, so that two names never
// share one, and the tier has no names to keep, which are longer than many an object.
type ID [16]byte

// IDOf is the ID of a name, which it does not keep.
func IDOf(name string) ID {
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(name), len(name)))
	return ID(sum[:len(ID{})])
}

// Held is what one part of the tier holds. Bytes are what the chunks take, all told.
type Held struct {
	Bytes, Chunks int64
	// Evictions since the node started.
	Evictions int64
}

// memory is what the parts of a tier share. What own chunks leave is for those that
// were given, and what both leave for copies; one lock guards all, so that together
// they never take more than there is.
type memory struct {
	mu    sync.Mutex // guards the fields below; held when freed is called
	most  int64      // bytes
	own   *FIFO[ID, chunk]
	given *FIFO[uint64, gift]
	hot   *FIFO[ID, chunk]
}

// New makes the parts of a tier of so many bytes. Freed is called with an own chunk that
// is evicted, and the time that it was in memory; it may be nil, must return soon,
// and must not call the tier. The groupcache group must have a name of its own in
// the process, and lives as long as that, since groupcache cannot forget one.
func New(group string, bytes int64, freed func(id ID, slot uint64, b []byte, age time.Duration)) (*Own, *Hot, *Given) {
	gone := func(is ID, c chunk, age time.Duration) {
		if freed != nil {
			freed(is, c.slot, c.bytes, age)
		}
	}
	m := &memory{own: NewFIFO(0, sizeOf, gone), given: NewFIFO(0, giftSize, nil), hot: NewFIFO(0, sizeOf, nil)}
	m.Resize(bytes)
	return newOwn(group, m), &Hot{memory: m}, &Given{memory: m}
}

// Resize sets how many bytes the tier has, for all parts. Chunks that there is no room
// for any more are evicted, some at a time, so that no reader waits for long.
func (m *memory) Resize(bytes int64) {
	for !m.approach(bytes) {
	}
}

// approach takes a step towards so many bytes, and reports whether that was the last.
func (m *memory) approach(bytes int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	shrinks := bytes < m.most
	m.most = max(bytes, m.most-m.most/resizeSteps-1)
	m.own.Resize(m.most - m.most/hotShare)
	m.fit()
	if m.most > bytes {
		return false
	}
	if shrinks {
		m.own.compact(m.pause)
		m.given.compact(m.pause)
		m.hot.compact(m.pause)
	}
	return true
}

// pause lets others have the lock. The caller holds mu.
func (m *memory) pause() {
	m.mu.Unlock()
	m.mu.Lock()
}

// fit gives the other parts what own chunks leave. The caller holds mu.
func (m *memory) fit() {
	left := m.most - m.own.taken()
	m.shrinkGiven(left)
	m.hot.Resize(left - m.given.taken())
}
