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
