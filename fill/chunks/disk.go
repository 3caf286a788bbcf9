package chunks

import (
	"context"

	"larder/budget"
	"larder/fill/tier"
	"larder/keys"
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
	if p.noDisk || !s.disk.Has(slot, name) {
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

// staysOnDisk reports whether a chunk is on this node's disk, and not worth memory: that is
// for what comes a second time lately, which load keeps.
func (s *Chunks) staysOnDisk(c Chunk, name string) bool {
	return s.disk.Has(c.slot(), onDisk(name)) && !s.own.Remembers(name)
}

// ownOf returns a chunk that this node owns and memory does not have. For a caller who is
// alone it may stay on the disk.
func (s *Chunks) ownOf(p place, alone bool) (Data, error) {
	if alone && s.staysOnDisk(p.Chunk, p.name) {
		if d, ok := s.fromDiskAlone(p.Chunk, p.name, true); ok {
			return d, nil
		}
		p.noDisk = true
	}
	return s.load(p)
}

// fromDiskAlone returns a chunk of this node's disk, in memory that one caller alone has. If
// it may not wait for the disk, the chunk has to be in the system's page cache.
func (s *Chunks) fromDiskAlone(c Chunk, name string, wait bool) (Data, bool) {
	d := Data{Source: Disk, buffer: s.buffers.get(c.length)}
	d.View = d.buffer.bytes[:c.length]
	var ok, lost bool
	if wait {
		ok, lost = s.disk.GetInto(c.slot(), onDisk(name), d.View)
	} else {
		ok = s.disk.GetCached(c.slot(), onDisk(name), d.View)
	}
	if !ok {
		if lost {
			d.buffer.pool = nil // nobody uses it again
		}
		d.Close()
		return Data{}, false
	}
	s.own.Remember(name, c.length)
	return d, true
}

// cachedAtHand is AtHand for a chunk that memory does not have.
func (s *Chunks) cachedAtHand(user string, c Chunk, name string) (Data, bool) {
	if !s.staysOnDisk(c, name) {
		return Data{}, false
	}
	var grant *budget.Grant
	if c.length > budget.FreeLen {
		var ok bool
		if grant, ok = s.streams.TakeResident(c.key.Org+"/"+user, c.length); !ok {
			return Data{}, false
		}
	}
	d, ok := s.fromDiskAlone(c, name, false)
	if !ok {
		grant.Release()
		return Data{}, false
	}
	d.grant = grant
	return d, true
}
