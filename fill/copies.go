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

// onceNames is how many chunks are remembered that were fetched once.
const onceNames = 4096

// copies are this node's hot copies of chunks that other nodes own: those used
// last, in the memory that the node's own chunks leave, and in a share of their
// own where those leave none. A chunk is worth a copy when it is fetched for the
// second time lately, so that who reads much once leaves nothing behind (2Q:
// Johnson and Shasha, VLDB 1994). It is safe for concurrent use.
type copies struct {
	flights singleflight.Group // one fetch of a chunk at a time
	room    func() int64       // bytes that there are for copies now; asked with mu held, so that fit sees what keep did

	mu        sync.Mutex // guards the fields below
	lru       *lru.Cache // chunk key → groupcache.ByteView
	once      *lru.Cache // the keys of chunks that were fetched once lately
	bytes     int64      // of keys and chunks, as groupcache counts
	evictions int64
}

func newCopies(room func() int64) *copies {
	c := &copies{room: room, once: lru.New(onceNames), lru: lru.New(0)} // the last is bounded by bytes
	c.lru.OnEvicted = func(key lru.Key, value any) {
		c.bytes -= sizeOf(key.(string), value.(groupcache.ByteView))
	}
	return c
}

func sizeOf(chunkKey string, v groupcache.ByteView) int64 { return int64(len(chunkKey) + v.Len()) }

func (c *copies) get(chunkKey string) (groupcache.ByteView, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.lru.Get(chunkKey)
	if !ok {
		return groupcache.ByteView{}, false
	}
	return v.(groupcache.ByteView), true
}

// take is get for who will hold the chunk from now on.
func (c *copies) take(chunkKey string) (groupcache.ByteView, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.lru.Get(chunkKey)
	if !ok {
		return groupcache.ByteView{}, false
	}
	c.lru.Remove(chunkKey)
	return v.(groupcache.ByteView), true
}

// wanted says whether a chunk that was fetched just now is worth a copy.
func (c *copies) wanted(chunkKey string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, before := c.once.Get(chunkKey); before {
		c.once.Remove(chunkKey)
		return true
	}
	c.once.Add(chunkKey, nil)
	return false
}

// keep makes a copy the one used last, unless there is no room for it alone.
func (c *copies) keep(chunkKey string, v groupcache.ByteView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.room()
	if sizeOf(chunkKey, v) > room {
		return
	}
	if _, there := c.lru.Get(chunkKey); there {
		return
	}
	c.lru.Add(chunkKey, v)
	c.bytes += sizeOf(chunkKey, v)
	c.evict(room)
}

// fit gives up the copies that there is no room for any more.
func (c *copies) fit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evict(c.room())
}

// evict gives up the copies that were not used for longest. The caller holds mu.
func (c *copies) evict(room int64) {
	for c.bytes > room {
		c.lru.RemoveOldest()
		c.evictions++
	}
}

func (c *copies) held() Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Held{Bytes: c.bytes, Chunks: int64(c.lru.Len()), Evictions: c.evictions}
}
