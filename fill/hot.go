package fill

import (
	"math"
	"sync"

	"github.com/golang/groupcache/singleflight"
)

// hotShare is the part of the memory tier that is for hot copies where the
// node's own chunks would fill all of it: one in so many bytes. Groupcache would
// give a ninth, which every node fills with the same.
const hotShare = 32

// onceNames is how many chunks are remembered, at most, that were fetched once.
const onceNames = 4096

// hot are this node's copies of chunks that other nodes own: those used last, in
// the memory that the node's own chunks leave, and in a share of their own where
// those leave none. A chunk is worth a copy when it is fetched for the second time
// lately, so that who reads much once leaves nothing behind (2Q: Johnson and
// Shasha, VLDB 1994): while no more bytes have been fetched than there is room
// for, since a copy would not have lasted any longer. It is safe for concurrent
// use.
type hot struct {
	flights singleflight.Group // one fetch of a chunk at a time
	room    func() int64       // bytes that there are for copies now; asked with mu held, so that fit sees what keep did

	mu        sync.Mutex // guards the fields below
	kept      *sized
	once      *sized // the chunks that were fetched once lately, without their bytes
	evictions int64  // of copies
}

func newHot(room func() int64) (*hot, error) {
	kept, err := newSized(math.MaxInt) // bounded by bytes
	if err != nil {
		return nil, err
	}
	once, err := newSized(onceNames)
	return &hot{room: room, kept: kept, once: once}, err
}

func (h *hot) get(name string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept.get(name)
}

// take is get for who will hold the chunk from now on.
func (h *hot) take(name string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.kept.get(name)
	if ok {
		h.kept.lru.Remove(name)
	}
	return b, ok
}

// known reports whether there is a copy of a chunk, or will be one when it is
// fetched now. If not, it remembers that it is fetched.
func (h *hot) known(name string, length int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept.lru.Contains(name) || h.once.lru.Contains(name) {
		return true
	}
	h.remember(name, length)
	return false
}

// wanted reports whether a chunk that was fetched just now is worth a copy.
func (h *hot) wanted(name string, length int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.once.lru.Remove(name) {
		return true
	}
	h.remember(name, length)
	return false
}

// remember notes that a chunk was fetched. The caller holds mu.
func (h *hot) remember(name string, length int64) {
	h.once.add(name, nil, bytesOf(name, nil)+allocated(length))
	h.once.shrink(h.room(), nil)
}

// keep makes a copy the one used last, unless there is no room for it alone.
func (h *hot) keep(name string, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room, bytes := h.room(), bytesOf(name, b)
	if _, there := h.kept.get(name); there || bytes > room {
		return
	}
	h.kept.add(name, b, bytes)
	h.evictions += h.kept.shrink(room, nil)
}

// fit gives up the copies that there is no room for any more.
func (h *hot) fit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.evictions += h.kept.shrink(h.room(), nil)
}

func (h *hot) held() Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Held{Bytes: h.kept.bytes, Chunks: int64(h.kept.lru.Len()), Evictions: h.evictions}
}
