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
	// Mismatches are the chunks, by source, that were not what was written.
	Mismatches map[Source]int64
	// Unverified chunks had no digest to be compared with.
	Unverified int64
}

// Held is one part of the memory tier: the chunks that the node owns, or its
// hot copies of chunks that others own. Bytes are those of keys and chunks.
type Held struct {
	Bytes, Chunks int64
	// Evictions since the node started.
	Evictions int64
}

// Stats counts.
func (f *Filler) Stats() Stats {
	own := f.owned.CacheStats(groupcache.MainCache)
	return Stats{
		Own: Held{Bytes: own.Bytes, Chunks: own.Items, Evictions: own.Evictions},
		Hot: f.copies.held(),
		Mismatches: map[Source]int64{
			S3: f.verified.s3.Load(), Peer: f.verified.peer.Load(), Writer: f.verified.writer.Load(),
		},
		Unverified: f.verified.unknown.Load(),
	}
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
