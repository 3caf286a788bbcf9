package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

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

// Get returns a chunk, in memory of its own. A chunk that cannot be read, or not soon,
// is not there.
func (d *Disk) Get(slot uint64, name string) ([]byte, bool) {
	if d == nil {
		return nil, false
	}
	if b, ok := d.behind.get(slot, name); ok {
		return b, true
	}
	e, ok := d.index.read(slot, fingerprint(name))
	if !ok || d.reads.rests() {
		return nil, false
	}
	s := d.segmentOf(e.place)
	if s == nil { // it was evicted just now
		return nil, false
	}
	b, err := d.readSoon(s.file, e.place, slot, name)
	switch {
	case err == nil:
		d.reads.isWell()
		return b, true
	case errors.Is(err, os.ErrClosed): // the same
	case errors.Is(err, errCorrupt), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		d.index.remove(slot, e.place)
		d.counts.corrupt.Add(1)
		d.reads.log.Error().Err(err).Str("file", segmentName(e.segment)).Uint32("offset", e.offset).
			Msg("a chunk on the disk is not what was written, reading it from elsewhere")
	default:
		d.counts.reading.Add(1)
		d.reads.failed(err, "the disk gave no chunk, reading it from elsewhere")
	}
	return nil, false
}

func (d *Disk) segmentOf(p place) *segment {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.segments[p.segment]
}

var errSlow = errors.New("the disk does not answer in time")

// readSoon is read for whoever does not wait for ever: a read from a disk that hangs
// cannot be ended.
func (d *Disk) readSoon(f File, p place, slot uint64, name string) ([]byte, error) {
	late := time.NewTimer(d.limit + time.Duration(p.size)*time.Second/leastSpeed)
	defer late.Stop()
	select {
	case d.reading <- struct{}{}:
	case <-late.C:
		return nil, errSlow
	}
	var b []byte
	done := make(chan error, 1)
	go func() {
		defer func() { <-d.reading }()
		got, err := read(f, p, slot, name)
		b = got // seen by whoever receives what follows
		done <- err
	}()
	select {
	case err := <-done:
		return b, err
	case <-late.C:
		return nil, errSlow
	}
}

// read reads a chunk whose record is at a place.
func read(f File, p place, slot uint64, name string) ([]byte, error) {
	length := int64(p.size) - recordSize(name, nil)
	if length <= 0 {
		return nil, errCorrupt
	}
	before, b := make([]byte, recordSize(name, nil)), uncleared(int(length))
	if _, err := f.ReadAt(before, int64(p.offset)); err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(b, int64(p.offset)+int64(len(before))); err != nil {
		return nil, err
	}
	return b, verify(before, slot, name, b)
}

// uncleared is memory, of one byte or more, whose user writes all of it before anybody
// reads it: make would clear it first.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	_ = b.WriteByte(0) // never fails
	return unsafe.Slice(unsafe.StringData(b.String()), n)
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
