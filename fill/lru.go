package fill

import (
	"fmt"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// entryBytes is what a chunk takes in memory beside its name and its bytes: an
// entry of the LRU's list, and a slot of its map, which is two thirds full on
// average.
const entryBytes = 112 + 48

// bytesOf is what a chunk takes in memory, all told.
func bytesOf(name string, b []byte) int64 {
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

// sized is an LRU of chunks, by name, that knows how much memory they take. It is
// not safe for concurrent use.
type sized struct {
	lru   *simplelru.LRU[string, sizedChunk]
	bytes int64
}

// sizedChunk is a chunk in an LRU.
type sizedChunk struct {
	view  []byte
	bytes int64 // of memory
	since int64 // when it came, in nanoseconds
}

// newSized makes an LRU of so many chunks at most.
func newSized(most int) (*sized, error) {
	s := &sized{}
	var err error
	s.lru, err = simplelru.NewLRU(most, func(_ string, c sizedChunk) { s.bytes -= c.bytes })
	if err != nil {
		return nil, fmt.Errorf("make an LRU: %w", err)
	}
	return s, nil
}

// get returns a chunk, and makes it the one used last.
func (s *sized) get(name string) ([]byte, bool) {
	c, ok := s.lru.Get(name)
	return c.view, ok
}

// add adds a chunk that is not there.
func (s *sized) add(name string, b []byte, bytes int64) {
	s.lru.Add(name, sizedChunk{view: b, bytes: bytes, since: time.Now().UnixNano()})
	s.bytes += bytes
}

// shrink gives up the chunks that were not used for longest, until the others take
// no more than there is room for. It returns how many it gave up, and tells gone,
// unless that is nil, how long each was there.
func (s *sized) shrink(room int64, gone func(time.Duration)) (n int64) {
	now := time.Now().UnixNano()
	for ; s.bytes > room; n++ {
		_, c, _ := s.lru.RemoveOldest()
		if gone != nil {
			gone(time.Duration(now - c.since))
		}
	}
	return n
}
