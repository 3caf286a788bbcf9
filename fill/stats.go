package fill

import (
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"github.com/golang/groupcache"
)

// Stats of what a node holds, and of what it did since it started.
type Stats struct {
	Own, Hot Held
	// Heads that the node knows now.
	Heads int64
	// LeasesGranted to other nodes since it started.
	LeasesGranted int64
}

// Held is one part of the memory tier: the chunks that the node owns, or its
// hot copies of chunks that others own.
type Held struct {
	Bytes, Chunks int64
	// Evictions since the node started.
	Evictions int64
}

// Stats counts.
func (f *Filler) Stats() Stats {
	held := func(which groupcache.CacheType) Held {
		s := f.chunks.CacheStats(which)
		return Held{Bytes: s.Bytes, Chunks: s.Items, Evictions: s.Evictions}
	}
	return Stats{
		Own:           held(groupcache.MainCache),
		Hot:           held(groupcache.HotCache),
		Heads:         f.heads.count(),
		LeasesGranted: f.granted.Load(),
	}
}

// origin finds out which part of the memory tier had a chunk, without a second
// lookup. Groupcache keeps an own chunk as the string that load set, a hot copy
// as the slice that a peer sent, and a view writes itself as what it is.
type origin fetch

// Write takes a hot copy.
func (o *origin) Write(b []byte) (int, error) {
	o.source = Hot
	return len(b), nil
}

// WriteString takes an own chunk.
func (o *origin) WriteString(s string) (int, error) {
	o.source = Memory
	return len(s), nil
}

// agedOneIn is how many chunks there are to one whose age is watched: watching
// costs some hundred bytes and a little of every garbage collection.
const agedOneIn = 16

// admit hands a chunk over to groupcache, which will own its memory.
func (f *Filler) admit(dest groupcache.Sink, b []byte) error {
	if f.cfg.Freed != nil && len(b) > 0 && rand.N(agedOneIn) == 0 {
		runtime.AddCleanup(unsafe.SliceData(b), f.freed, time.Now())
	}
	return setNoCopy(dest, b)
}

// freed hears of a chunk that nobody holds any more. Groupcache tells nobody
// what it evicts, so the garbage collector is asked.
func (f *Filler) freed(admitted time.Time) { f.cfg.Freed(time.Since(admitted)) }
