package tier

// Given are chunks that members gave which leave the cluster: their next owner keeps
// them until somebody asks. They take the place of copies, which others have, but not of
// own chunks, nor of what was given before: what is worth most is given first. There is
// one for a slot. They are one queue: none is ever used before it is taken.
type Given struct{ *memory }

// gift is a chunk that was given.
type gift struct {
	is    ID
	bytes []byte
}

func giftSize(_ uint64, g gift) int64 { return entryBytes + allocated(int64(cap(g.bytes))) }

// Keep keeps a chunk, in place of what was given for its slot before, and reports whether
// there was room.
func (g *Given) Keep(slot uint64, is ID, b []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.given.Remove(slot)
	v := gift{is, b}
	if g.given.taken()+giftSize(slot, v) > g.most-g.own.taken() {
		return false
	}
	kept := g.given.Add(slot, v)
	g.fit()
	return kept
}

// shrinkGiven leaves what was given so many bytes. What was given last goes first. The
// caller holds mu.
func (m *memory) shrinkGiven(most int64) {
	for e := m.given.small.newest; e != nil && m.given.taken() > most; e = m.given.small.newest {
		m.given.Remove(e.name)
		m.given.evictions++
	}
	m.given.Resize(most)
}

// Has reports whether some chunk was given for a slot.
func (g *Given) Has(slot uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.given.Peek(slot)
	return ok
}

// Peek returns the chunk of a name, if that was given for its slot.
func (g *Given) Peek(slot uint64, name string) ([]byte, bool) {
	is := IDOf(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.given.Peek(slot)
	return v.bytes, ok && v.is == is
}

// Take is Peek, and gives the chunk up: the caller keeps it from now on.
func (g *Given) Take(slot uint64, name string) ([]byte, bool) {
	is := IDOf(name)
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.given.Peek(slot)
	if !ok || v.is != is {
		return nil, false
	}
	g.given.Remove(slot)
	g.fit()
	return v.bytes, true
}
