package disk

import (
	"maps"
	"sync"
	"sync/atomic"
)

const (
	// entryBytes is what a chunk takes in the index: 24 bytes in a map that may be
	// little more than half full.
	entryBytes = 64

	indexShards = 64
	countMask   = 3 // of a tag: how often the chunk was read since it was written, 3 at most
)

// place is where a record is.
type place struct {
	segment uint32 // its number
	offset  uint32
	size    uint32 // of the record
}

// newer reports whether a record was written after another.
func (p place) newer(o place) bool {
	return p.segment > o.segment || p.segment == o.segment && p.offset > o.offset
}

// entry is what the index knows of a chunk.
type entry struct {
	place
	tag uint32 // the fingerprint of its name, and the count of reads
}

func (e entry) isOf(print uint32) bool { return e.tag&^countMask == print }

// index finds a chunk by its slot. The zero value is empty.
type index struct {
	shards [indexShards]shard
	count  atomic.Int64 // of entries
}

type shard struct {
	mu      sync.Mutex // guards the entries
	entries map[uint64]entry
}

func (x *index) of(slot uint64) *shard { return &x.shards[slot%indexShards] }

// get finds what is in a slot.
func (x *index) get(slot uint64) (entry, bool) {
	s := x.of(slot)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[slot]
	return e, ok
}

// read counts that the chunk of that name was read.
func (x *index) read(slot uint64, print uint32) {
	s := x.of(slot)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[slot]; ok && e.isOf(print) && e.tag&countMask < countMask {
		e.tag++
		s.entries[slot] = e
	}
}

// set puts a chunk into a slot, unless what is there was written later.
func (x *index) set(slot uint64, e entry) {
	s := x.of(slot)
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.entries[slot]
	if ok && !e.newer(was.place) {
		return
	}
	if !ok {
		x.count.Add(1)
	}
	if s.entries == nil {
		s.entries = map[uint64]entry{}
	}
	s.entries[slot] = e
}

// remove empties a slot if it holds the record at this place.
func (x *index) remove(slot uint64, p place) bool {
	s := x.of(slot)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[slot].place != p {
		return false
	}
	delete(s.entries, slot)
	x.count.Add(-1)
	return true
}

// removeAll removes all that is in a segment, and counts it.
func (x *index) removeAll(segment uint32) (n int64) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for slot, e := range s.entries {
			if e.segment == segment {
				delete(s.entries, slot)
				n++
			}
		}
		s.mu.Unlock()
	}
	x.count.Add(-n)
	return n
}

// compact gives back memory that the maps needed before: maps do not shrink, so each is
// made anew.
func (x *index) compact() {
	for i := range x.shards {
		x.shards[i].compact()
	}
}

func (s *shard) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	small := make(map[uint64]entry, len(s.entries))
	maps.Copy(small, s.entries)
	s.entries = small
}
