package chunks

import (
	"context"

	"larder/disk"
	"larder/keys"
)

// toDisk has a chunk written that leaves memory, unless the disk has it.
func toDisk(d *disk.Disk, name string, b []byte) {
	if d == nil {
		return
	}
	if k, _, n, err := keys.ParseChunk(name); err == nil {
		d.Put(keys.ChunkHash(k, n), name, b)
	}
}

// InMemory reports whether memory has a chunk that this node owns, by its name.
func (s *Chunks) InMemory(name string) bool { return s.own.Has(name) }

// slot is what a chunk has in common with its other versions, of which the disk keeps
// the last.
func (c Chunk) slot() uint64 { return keys.ChunkHash(c.key, c.n) }

// MayHaveFirst reports whether this node has the first chunk of some version of a key on
// its disk, or was given it. Which one is known only to who knows the name.
func (s *Chunks) MayHaveFirst(k keys.Key) bool {
	slot := keys.ChunkHash(k, 0)
	return s.disk.HasSlot(slot) || s.hasGiven(slot)
}

// fromDisk returns a chunk that is on this node's disk. The disk compares checksums, and
// the chunk was compared with its digest before it was written.
func (s *Chunks) fromDisk(p place) ([]byte, bool) {
	slot := p.slot()
	if !s.disk.Has(slot, p.name) {
		return nil, false
	}
	grant, err := s.loads.Take(context.Background(), p.key.Org, p.length)
	if err != nil {
		return nil, false // the store is asked for memory next, and hears why
	}
	defer grant.Release()
	b, ok := s.disk.Get(slot, p.name)
	return b, ok && p.isLong(b) == nil
}
