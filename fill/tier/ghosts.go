package tier

import "hash/maphash"

// ghostBytes is what a ghost takes in memory: its place in the queue, which has some
// to spare, and a slot of the map.
const ghostBytes = 48

// ghosts are names of values that are gone, in the order in which they went. Two names
// of the same hash are taken for one: what comes of it is that a value stays that was
// seen once.
type ghosts[K comparable] struct {
	seed  maphash.Seed
	queue []ghost
	last  table[uint64, uint32] // by the hash of a name: the number of its ghost
	next  uint32                // the number of the next one
	units int64                 // that the ghosts in the queue stand for
}

// ghost is one name. It is over once its name has another number, or none.
type ghost struct {
	hash   uint64
	units  uint32 // of memory that the value took
	number uint32
}

// ghostUnit is how many bytes are counted as one: no value is of so many that their
// number does not fit.
const ghostUnit = 64

func newGhosts[K comparable]() ghosts[K] {
	return ghosts[K]{seed: maphash.MakeSeed(), last: newTable[uint64, uint32]()}
}

func (g *ghosts[K]) has(name K) bool {
	_, ok := g.last.now[maphash.Comparable(g.seed, name)]
	return ok
}

// take reports whether a name has a ghost, and removes that.
func (g *ghosts[K]) take(name K) bool {
	hash := maphash.Comparable(g.seed, name)
	_, ok := g.last.now[hash]
	g.last.remove(hash)
	return ok
}

// add makes a ghost of the name of a value that took so many bytes.
func (g *ghosts[K]) add(name K, bytes int64) {
	is := ghost{hash: maphash.Comparable(g.seed, name), units: uint32(bytes / ghostUnit), number: g.next}
	g.queue = append(g.queue, is)
	g.last.set(is.hash, is.number)
	g.units += int64(is.units)
	g.next++
}

// shrink forgets the oldest ghosts, until the others stand for no more than most bytes.
func (g *ghosts[K]) shrink(most int64) {
	for g.units > most/ghostUnit && g.forget() {
	}
}

// forget forgets the oldest ghost, and reports whether there was one.
func (g *ghosts[K]) forget() bool {
	if len(g.queue) == 0 {
		return false
	}
	is := g.queue[0]
	g.queue = g.queue[1:]
	g.units -= int64(is.units)
	if g.last.now[is.hash] == is.number {
		g.last.remove(is.hash)
	}
	return true
}

// taken is how many bytes of memory the ghosts take.
func (g *ghosts[K]) taken() int64 { return int64(len(g.queue)) * ghostBytes }
