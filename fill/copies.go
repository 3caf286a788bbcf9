package fill

import (
	"sync"

	"github.com/golang/groupcache"
	"github.com/golang/groupcache/lru"
	"github.com/golang/groupcache/singleflight"
)

// copiesShare is the part of the memory tier that is for hot copies where the
// node's own chunks would fill all of it: one in so many bytes. Groupcache would
// give a ninth, which every node fills with the same.
const copiesShare = 32

// onceNames is how many chunks are remembered, at most, that were fetched once.
const onceNames = 4096

// copies are this node's hot copies of chunks that other nodes own: those used
// last, in the memory that the node's own chunks leave, and in a share of their
// own where those leave none. A chunk is worth a copy when it is fetched for the
// second time lately, so that who reads much once leaves nothing behind (2Q:
// Johnson and Shasha, VLDB 1994): while no more bytes have been fetched than
// there is room for, since a copy would not have lasted any longer. It is safe
// for concurrent use.
type copies struct {
	flights singleflight.Group // one fetch of a chunk at a time
	room    func() int64       // bytes that there are for copies now; asked with mu held, so that fit sees what keep did

	mu        sync.Mutex // guards the fields below
	kept      sized
	once      sized // the chunks that were fetched once lately, without their bytes
	evictions int64 // of copies
}

func newCopies(room func() int64) *copies {
	c := &copies{room: room}
	c.kept.init(0) // bounded by bytes
	c.once.init(onceNames)
	return c
}

// sized is an LRU, by chunk key, that knows how many bytes keys and chunks have,
// as groupcache counts.
type sized struct {
	lru   *lru.Cache // chunk key → sizedView
	bytes int64
}

type sizedView struct {
	view groupcache.ByteView
	size int64
}

func (s *sized) init(most int) {
	s.lru = lru.New(most)
	s.lru.OnEvicted = func(_ lru.Key, value any) { s.bytes -= value.(sizedView).size }
}

func (s *sized) get(chunkKey string) (groupcache.ByteView, bool) {
	v, ok := s.lru.Get(chunkKey)
	if !ok {
		return groupcache.ByteView{}, false
	}
	return v.(sizedView).view, true
}

// add adds a chunk that is not there.
func (s *sized) add(chunkKey string, v groupcache.ByteView, size int64) {
	s.lru.Add(chunkKey, sizedView{v, size})
	s.bytes += size
}

// shrink gives up the chunks that were not used for longest, until the others
// have at most so many bytes, and returns how many it gave up.
func (s *sized) shrink(room int64) (gone int64) {
	for ; s.bytes > room; gone++ {
		s.lru.RemoveOldest()
	}
	return gone
}

func sizeOf(chunkKey string, length int64) int64 { return int64(len(chunkKey)) + length }

func (c *copies) get(chunkKey string) (groupcache.ByteView, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.get(chunkKey)
}

// take is get for who will hold the chunk from now on.
func (c *copies) take(chunkKey string) (groupcache.ByteView, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.kept.get(chunkKey)
	if ok {
		c.kept.lru.Remove(chunkKey)
	}
	return v, ok
}

// known says whether there is a copy of a chunk, or will be one when it is
// fetched now. If not, it remembers that it is fetched.
func (c *copies) known(chunkKey string, length int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.kept.get(chunkKey); there {
		return true
	}
	if _, before := c.once.get(chunkKey); before {
		return true
	}
	c.remember(chunkKey, length)
	return false
}

// wanted says whether a chunk that was fetched just now is worth a copy.
func (c *copies) wanted(chunkKey string, length int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, before := c.once.get(chunkKey); before {
		c.once.lru.Remove(chunkKey)
		return true
	}
	c.remember(chunkKey, length)
	return false
}

// remember notes that a chunk was fetched. The caller holds mu.
func (c *copies) remember(chunkKey string, length int64) {
	c.once.add(chunkKey, groupcache.ByteView{}, sizeOf(chunkKey, length))
	c.once.shrink(c.room())
}

// keep makes a copy the one used last, unless there is no room for it alone.
func (c *copies) keep(chunkKey string, v groupcache.ByteView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room, size := c.room(), sizeOf(chunkKey, int64(v.Len()))
	if size > room {
		return
	}
	if _, there := c.kept.get(chunkKey); there {
		return
	}
	c.kept.add(chunkKey, v, size)
	c.evictions += c.kept.shrink(room)
}

// fit gives up the copies that there is no room for any more.
func (c *copies) fit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evictions += c.kept.shrink(c.room())
}

func (c *copies) held() Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Held{Bytes: c.kept.bytes, Chunks: int64(c.kept.lru.Len()), Evictions: c.evictions}
}
