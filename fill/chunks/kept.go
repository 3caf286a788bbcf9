package chunks

import "larder/keys"

// Kept is how many chunks of a version a node has.
type Kept struct {
	Memory int `json:"memory"`
	Disk   int `json:"disk"`
}

// Count is how many chunks an object of this size has, at most so many.
func (s *Chunks) Count(size int64, most int) int {
	return int(min((size+s.size-1)/s.size, int64(most)))
}

// Kept counts what this node has of the first chunks of a version, at most so many of them,
// as its owner or as a copy. It does not count as a use of them.
func (s *Chunks) Kept(k keys.Key, of keys.Version, size int64, most int) (kept Kept) {
	for n := range s.Count(size, most) {
		c := Chunk{key: k, version: of, n: n, size: size, length: lengthOf(size, s.size, n)}
		name := c.name()
		if s.inMemory(c, name) {
			kept.Memory++
		}
		if s.disk.Has(c.slot(), onDisk(name)) {
			kept.Disk++
		}
	}
	return kept
}

// Keep puts a chunk that this node owns into memory, whose bytes are known to be
// right.
func (s *Chunks) Keep(c Chunk, b []byte) { s.keep(c, c.name(), b) }

// keep is Keep for a caller who has the chunk's name.
func (s *Chunks) keep(c Chunk, name string, b []byte) {
	s.own.Add(name, c.slot(), b)
	s.disk.Put(c.slot(), onDisk(name), b)
}

// Has reports whether this node has a chunk, in memory or on its disk.
func (s *Chunks) Has(c Chunk) bool {
	if c.length == 0 {
		return true
	}
	name := c.name()
	return s.disk.Has(c.slot(), onDisk(name)) || s.inMemory(c, name)
}

// IsInMemory reports whether this node has a chunk in memory, whoever owns it.
func (s *Chunks) IsInMemory(c Chunk) bool { return c.length == 0 || s.inMemory(c, c.name()) }

// inMemory reports whether any part of the memory tier has a chunk.
func (s *Chunks) inMemory(c Chunk, name string) bool {
	if _, ok := s.given.Peek(c.slot(), name); ok {
		return true
	}
	if _, ok := s.hot.Peek(name); ok {
		return true
	}
	b, ok := s.own.Peek(name)
	return ok && c.isLong(b) == nil
}
