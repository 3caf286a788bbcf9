package disk

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"
	"unsafe"
)

// piece is how much of a record is read at once, in bytes. The kernel takes a read of a
// mebibyte somewhere in a file for one that stands alone, and fetches it in pages of 4 KiB.
// Pieces that follow each other are a stream to it, for which it makes larger and larger
// folios: they cost less time to make, and the device sees fewer segments.
const piece = 128 << 10

// cachedFile is a file of which what the system has in memory can be read without
// waiting for the disk.
type cachedFile interface {
	// ReadCached reads pieces that follow each other, from an offset on, as far as they
	// are in memory, and returns how many bytes that was.
	ReadCached(pieces [][]byte, off int64) int
}

// reading is a record that is read.
type reading struct {
	place
	file   File
	before []byte // what is before the chunk's bytes
	b      []byte // those bytes
	n      int    // bytes of both that were read
	room   [recordHead + usualName]byte
}

// find finds the record of a chunk, which is read into b.
func (d *Disk) find(slot uint64, name string, b []byte) (*reading, bool) {
	e, ok := d.index.get(slot)
	if !ok || len(b) == 0 || !e.isOf(fingerprint(name)) || int64(e.size) != recordSize(name, b) {
		return nil, false
	}
	s := d.segmentOf(e.place)
	if s == nil { // it was evicted just now
		return nil, false
	}
	return readingOf(s.file, e.place, name, b), true
}

// readingOf is the record of a chunk at a place, of which nothing was read yet.
func readingOf(f File, p place, name string, b []byte) *reading {
	r := &reading{place: p, file: f, b: b}
	r.before = grown(r.room[:0], recordHead+int64(len(name)))
	return r
}

// next is what is to be read next: the rest of what is before the chunk's bytes, and a
// piece of those. Neither has anything once all has been read.
func (r *reading) next() (before, b []byte) {
	before = r.before[min(r.n, len(r.before)):]
	b = r.b[max(r.n-len(r.before), 0):]
	return before, b[:min(len(b), piece)]
}

// cached reads what the system has in memory, and reports whether that is all.
func (r *reading) cached() bool {
	f, ok := r.file.(cachedFile)
	if !ok {
		return false
	}
	for {
		before, b := r.next()
		if len(b) == 0 {
			return true
		}
		n := f.ReadCached([][]byte{before, b}, int64(r.offset)+int64(r.n))
		if r.n += n; n < len(before)+len(b) {
			return false
		}
	}
}

// rest reads what is left.
func (r *reading) rest() error {
	for {
		before, b := r.next()
		if len(b) == 0 {
			return nil
		}
		if len(before) > 0 {
			b = before
		}
		n, err := r.file.ReadAt(b, int64(r.offset)+int64(r.n))
		if r.n += n; err != nil {
			return err
		}
	}
}

// GetCached reads a chunk, which is as long as b, into b if that takes no waiting: the
// system has it in its page cache. Otherwise Get or GetInto is to be asked, which finds
// out why.
func (d *Disk) GetCached(slot uint64, name string, b []byte) bool {
	if d == nil {
		return false
	}
	r, ok := d.find(slot, name, b)
	if !ok || !r.cached() || verify(r.before, slot, name, b) != nil {
		return false
	}
	d.index.read(slot, fingerprint(name))
	return true
}

// GetInto is Get for a chunk that is as long as b, into b. A disk that did not answer in
// time may write to b later: then b is lost, and must not be used again.
func (d *Disk) GetInto(slot uint64, name string, b []byte) (ok, lost bool) {
	if d == nil {
		return false, false
	}
	if waits, ok := d.behind.get(slot, name); ok {
		return copy(b, waits) == len(b) && len(b) == len(waits), false
	}
	r, ok := d.find(slot, name, b)
	if !ok {
		return false, false
	}
	if !r.cached() {
		if d.reads.rests() {
			return false, false
		}
		if err := d.readSoon(r); err != nil {
			d.readFailed(err, slot, r.place)
			return false, errors.Is(err, errSlow)
		}
		d.reads.isWell()
	}
	if err := verify(r.before, slot, name, b); err != nil {
		d.readFailed(err, slot, r.place)
		return false, false
	}
	d.index.read(slot, fingerprint(name))
	return true, false
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
	e, ok := d.index.get(slot)
	length := int64(e.size) - recordSize(name, nil)
	if !ok || length <= 0 {
		return nil, false
	}
	b := uncleared(int(length))
	ok, _ = d.GetInto(slot, name, b)
	return b, ok
}

// readFailed notes that a record was not read, or is not what was written.
func (d *Disk) readFailed(err error, slot uint64, p place) {
	switch {
	case errors.Is(err, os.ErrClosed): // it was evicted just now
	case errors.Is(err, errCorrupt), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		d.index.remove(slot, p)
		d.counts.corrupt.Add(1)
		d.reads.log.Error().Err(err).Str("file", segmentName(p.segment)).Uint32("offset", p.offset).
			Msg("a chunk on the disk is not what was written, reading it from elsewhere")
	default:
		d.counts.reading.Add(1)
		d.reads.failed(err, "the disk gave no chunk, reading it from elsewhere")
	}
}

var errSlow = errors.New("the disk does not answer in time")

// readSoon reads what is left of a record, for whoever does not wait for ever: a read from a
// disk that hangs cannot be ended.
func (d *Disk) readSoon(r *reading) error {
	late := time.NewTimer(d.limit + time.Duration(r.size)*time.Second/leastSpeed)
	defer late.Stop()
	select {
	case d.reading <- struct{}{}:
	case <-late.C:
		return errSlow
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-d.reading }()
		done <- r.rest()
	}()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return errSlow
	}
}

// uncleared is memory, of one byte or more, whose user writes all of it before anybody
// reads it: make would clear it first.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	_ = b.WriteByte(0) // never fails
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}
