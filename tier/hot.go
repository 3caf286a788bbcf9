package tier

import (
	"strings"
	"sync"
)

// hotShare is the part of the memory tier that is for hot copies where the
// node's own chunks would fill all of it: one in so many bytes. Groupcache would
// give a ninth, which every node fills with the same.
const hotShare = 32

// onceNames is how many chunks are remembered, at most, that were fetched once.
const onceNames = 4096

// Hot are this node's copies of chunks that other nodes own: those used last, in
// the memory that the node's own chunks leave, and in a share of their own where
// those leave none. A chunk is worth a copy when it is fetched for the second time
// lately, so that a caller who reads much once leaves nothing behind (2Q: Johnson
// and Shasha, VLDB 1994). Lately means: no more bytes have been fetched since than
// there is room for, as a copy would not have lasted any longer.
type Hot struct {
	room func() int64 // bytes that there are for copies now; called with mu held, so that fit sees what Keep did

	mu        sync.Mutex // guards the fields below
	kept      *LRU[[]byte]
	once      *LRU[struct{}] // the chunks that were fetched once lately
	evictions int64          // of copies
}

func newHot(room func() int64) *Hot {
	return &Hot{room: room, kept: NewLRU[[]byte](), once: newLRU[struct{}](onceNames)}
}

// Get returns a copy if there is one.
func (h *Hot) Get(name string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept.Get(name)
}

// Take returns a copy and gives it up: the caller keeps the chunk from now on.
func (h *Hot) Take(name string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.kept.Get(name)
	if ok {
		h.kept.remove(name)
	}
	return b, ok
}

// Known reports whether there is a copy of a chunk, or will be one when it is
// fetched now. If not, it remembers that it is fetched.
func (h *Hot) Known(name string, length int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept.has(name) || h.once.has(name) {
		return true
	}
	h.remember(name, length)
	return false
}

// Wanted reports whether a chunk that was fetched just now is worth a copy.
func (h *Hot) Wanted(name string, length int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.once.remove(name) {
		return true
	}
	h.remember(name, length)
	return false
}

// remember notes that a chunk was fetched. The caller holds mu.
func (h *Hot) remember(name string, length int64) {
	h.once.Add(name, struct{}{}, sizeOf(name, nil)+allocated(length))
	h.once.Shrink(h.room(), nil)
}

// Keep makes a copy the one used last, unless there is no room for it alone.
func (h *Hot) Keep(name string, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room, bytes := h.room(), sizeOf(name, b)
	if _, there := h.kept.Get(name); there || bytes > room {
		return
	}
	h.kept.Add(name, b, bytes)
	h.evictions += h.kept.Shrink(room, nil)
}

// Given begins the names of chunks that others gave up and that only this node has. No
// other name begins so.
const Given = "given "

// Give keeps a chunk whose name begins with Given, in place of copies that others have
// but not of what was given before, and reports whether there was room.
func (h *Hot) Give(name string, b []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	room, bytes := h.room(), sizeOf(name, b)
	h.kept.remove(name)
	for h.kept.bytes+bytes > room {
		oldest, ok := h.kept.oldest()
		if !ok || strings.HasPrefix(oldest, Given) {
			return false
		}
		h.kept.remove(oldest)
		h.evictions++
	}
	h.kept.Add(name, b, bytes)
	return true
}

// fit gives up the copies that there is no room for any more.
func (h *Hot) fit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evictions += h.kept.Shrink(h.room(), nil)
}

// Held counts what there is.
func (h *Hot) Held() Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept.held(h.evictions)
}
