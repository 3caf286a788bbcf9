package chunks

import (
	"context"

	"larder/keys"
	"larder/tier"
)

// onDisk is the name of a chunk on the disk: the memory tier, which knows no other, has it
// written when the chunk leaves.
func onDisk(name string) string {
	is := tier.IDOf(name)
	return string(is[:])
}

// InMemory reports whether memory has a chunk that this node owns, by its name on disk.
func (s *Chunks) InMemory(onDisk string) bool {
	return len(onDisk) == len(tier.ID{}) && s.own.Has(tier.ID([]byte(onDisk)))
}

// slot is what a chunk has in common with its other versions, of which the disk keeps
// the last.
func (c Chunk) slot() uint64 { return keys.ChunkHash(c.key, c.n) }

// MayHaveFirst reports whether this node has the first chunk of some version of a key on
// its disk, or was given it. Which one is known only to who knows the name.
func (s *Chunks) MayHaveFirst(k keys.Key) bool {
	slot := keys.ChunkHash(k, 0)
	return s.disk.HasSlot(slot) || s.given.Has(slot)
}

// fromDisk returns a chunk that is on this node's disk. The disk compares checksums, and
// the chunk was compared with its digest before it was written.
func (s *Chunks) fromDisk(p place) ([]byte, bool) {
	slot, name := p.slot(), onDisk(p.name)
	if !s.disk.Has(slot, name) {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	grant, err := s.loads.Take(ctx, p.key.Org, p.length)
	if err != nil {
		return nil, false // the store is asked for memory next, and hears why
	}
	defer grant.Release()
	b, ok := s.disk.Get(slot, name)
	return b, ok && p.isLong(b) == nil
}
