package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

const (
	// mostSegment bounds a segment: a crash costs reading one through.
	mostSegment = 256 << 20
	// usualSegments is how many there are on a full disk, where mostSegment allows.
	usualSegments = 128
	// MostChunk is the longest chunk that a disk takes, in bytes: the offsets in a
	// segment have 32 bits.
	MostChunk = 1 << 30

	// readsAtOnce bounds the reads that are under way, also those that nobody waits for
	// any more.
	readsAtOnce = 64
	// readLimit is how long a reader waits for a disk: longer than S3 takes. It has
	// more time for a long chunk, at leastSpeed bytes a second.
	readLimit  = time.Second
	leastSpeed = 16 << 20
)

// LeastSize is the least that a disk has to have for chunks of this size, in bytes.
func LeastSize(chunk int64) int64 { return 16 * chunk }

// Config of a Disk.
type Config struct {
	Dir  string // it is made if it is not there
	Size int64  // most bytes of all files; at least LeastSize
	// Identity is what a chunk's name leaves open: where the objects are, and how they
	// are cut. What was written under another one is removed.
	Identity string
	Chunk    int64 // the longest chunk, in bytes; at most MostChunk
	Behind   int64 // most bytes of memory of chunks that wait to be written
	Index    int64 // most bytes of memory of the index
	// InMemory reports whether memory has a chunk, which is then worth its place on the
	// disk. It may be nil, and must return soon.
	InMemory func(name string) bool
	Files    Files // nil: those of Dir
	Log      zerolog.Logger
}

// Disk keeps chunks. Make one with Open.
type Disk struct {
	cfg         Config
	identity    [sha256.Size]byte
	segmentSize int64        // most bytes of a segment
	mostEntries atomic.Int64 // of the index
	shrunk      atomic.Bool  // mostEntries was more when the writer looked last
	files       Files
	close       func() // the directory
	index       *index
	behind      *behind
	reads       health
	writes      health
	counts      counts
	reading     chan struct{} // holds a token for each read that is under way
	limit       time.Duration // see readLimit
	writer      writer
	log         zerolog.Logger

	mu       sync.RWMutex // guards the fields below
	segments map[uint32]*segment
	bytes    int64 // of all segments
}

// counts are what a disk did since it was opened.
type counts struct {
	written, dropped, evicted, moved atomic.Int64
	opening, reading, writing        atomic.Int64 // errors
	corrupt                          atomic.Int64
}

// Open opens a disk and rebuilds its index. A directory that is in use, that may not be
// used or is none is an error. A disk that fails otherwise holds nothing: the node does
// without.
func Open(cfg Config) (*Disk, error) {
	if cfg.Size < LeastSize(cfg.Chunk) || cfg.Chunk > MostChunk {
		return nil, fmt.Errorf("%d bytes for chunks of %d: at least %d are needed, and chunks of at most %d",
			cfg.Size, cfg.Chunk, LeastSize(cfg.Chunk), MostChunk)
	}
	d := &Disk{
		cfg: cfg, identity: sha256.Sum256([]byte(cfg.Identity)), files: cfg.Files, close: func() {},
		index: &index{}, behind: newBehind(cfg.Behind), reading: make(chan struct{}, readsAtOnce), limit: readLimit,
		log: cfg.Log.With().Str("component", "disk").Logger(), segments: map[uint32]*segment{},
	}
	d.segmentSize = max(min(cfg.Size/usualSegments, mostSegment), cfg.Chunk+maxName+headerSize+2*endSize)
	d.mostEntries.Store(cfg.Index / entryBytes)
	d.reads.log, d.writes.log = seldom(d.log), seldom(d.log)
	if d.files == nil {
		dir, err := openDirectory(cfg.Dir)
		switch {
		case errors.Is(err, ErrInUse), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOTDIR):
			return nil, fmt.Errorf("%s: %w", cfg.Dir, err)
		case err != nil:
			d.files = noFiles{err}
		default:
			d.files, d.close = dir, dir.close
		}
	}
	d.load()
	return d, nil
}

// Resize sets how much memory the index has, and what waits to be written, in bytes. The
// chunks that the index has no room for any more are evicted later, by the writer.
func (d *Disk) Resize(index, behind int64) {
	if d == nil {
		return
	}
	entries := index / entryBytes
	if d.mostEntries.Swap(entries) > entries {
		d.shrunk.Store(true)
	}
	d.behind.resize(behind)
}

// records is how many there may be in a segment.
func (d *Disk) records() int64 { return max(min(d.mostEntries.Load()/8, maxRecords), 1) }

// seldom is a logger of one line a minute.
func seldom(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
}

// Has reports whether a chunk is on the disk, or on its way there.
func (d *Disk) Has(slot uint64, name string) bool {
	if d == nil {
		return false
	}
	if _, ok := d.behind.get(slot, name); ok {
		return true
	}
	e, ok := d.index.get(slot)
	return ok && e.isOf(fingerprint(name))
}

// HasSlot reports whether any chunk of a slot is on the disk, or on its way there.
func (d *Disk) HasSlot(slot uint64) bool {
	if d == nil {
		return false
	}
	_, ok := d.index.get(slot)
	return ok || d.behind.has(slot)
}

// Put has a chunk written, whose bytes must not change any more. It drops the chunk if
// too much waits to be written already.
func (d *Disk) Put(slot uint64, name string, b []byte) {
	if d == nil || len(b) == 0 || int64(len(b)) > d.cfg.Chunk || len(name) > maxName {
		return
	}
	if e, ok := d.index.get(slot); ok && e.isOf(fingerprint(name)) {
		return
	}
	if !d.behind.add(&waiting{slot: slot, name: name, bytes: b}) {
		d.counts.dropped.Add(1)
	}
}

func (d *Disk) segmentOf(p place) *segment {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.segments[p.segment]
}

// Stats of what a disk holds, and of what it did since it was opened.
type Stats struct {
	Limit, Bytes, Chunks int64
	// Written, Dropped before they were written, Evicted, and Moved to the newest
	// segment instead, are chunks.
	Written, Dropped, Evicted, Moved int64
	// Errors by what failed: to open, to read or to write, or bytes that were corrupt.
	Opening, Reading, Writing, Corrupt int64
}

// Stats counts.
func (d *Disk) Stats() Stats {
	if d == nil {
		return Stats{}
	}
	d.mu.RLock()
	bytes := d.bytes
	d.mu.RUnlock()
	c := &d.counts
	return Stats{
		Limit: d.cfg.Size, Bytes: bytes, Chunks: d.index.count.Load(),
		Written: c.written.Load(), Dropped: c.dropped.Load(), Evicted: c.evicted.Load(), Moved: c.moved.Load(),
		Opening: c.opening.Load(), Reading: c.reading.Load(), Writing: c.writing.Load(), Corrupt: c.corrupt.Load(),
	}
}
