package disk

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// closeLimit is how long a disk that ends may take to write what waits.
const closeLimit = 3 * time.Second

// writer is what only the goroutine that writes touches.
type writer struct {
	active *segment // the newest; nil if there is none to write to
	next   uint32   // the number of the last segment
	head   []byte   // memory for heads
	moving []byte   // memory for records that move
}

// Run writes what Put gives, until ctx ends and what waits then is written, for a few
// seconds at most. Then nothing can be read any more.
func (d *Disk) Run(ctx context.Context) error {
	if d == nil {
		<-ctx.Done()
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.sealOld()
		d.writeAll(ctx)
		d.closeAll()
	}()
	<-ctx.Done()
	late := time.NewTimer(2 * closeLimit)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		d.log.Warn().Msg("the disk does not answer; what was not written yet is not kept")
	}
	return nil
}

func (d *Disk) writeAll(ctx context.Context) {
	for {
		for w := d.behind.next(); w != nil && ctx.Err() == nil; w = d.behind.next() {
			d.write(w)
			d.shrink()
		}
		d.shrink()
		select {
		case <-d.behind.wake:
		case <-ctx.Done():
			d.writeRest()
			return
		}
	}
}

// writeRest writes what waits when the disk ends.
func (d *Disk) writeRest() {
	end := time.Now().Add(closeLimit)
	for w := d.behind.next(); w != nil && time.Now().Before(end); w = d.behind.next() {
		d.write(w)
	}
}

// write writes a chunk, unless it is there.
func (d *Disk) write(w *waiting) {
	defer d.behind.done(w)
	print := fingerprint(w.name)
	if e, ok := d.index.get(w.slot); ok && e.isOf(print) {
		return
	}
	if d.writes.rests() {
		d.counts.dropped.Add(1)
		return
	}
	err := d.makeRoom(recordSize(w.name, w.bytes))
	if err == nil {
		err = d.append(w.slot, w.name, w.bytes, print)
	}
	if err == nil {
		d.writes.isWell()
		d.counts.written.Add(1)
		return
	}
	d.counts.dropped.Add(1)
	d.counts.writing.Add(1)
	d.writes.failed(err, "the disk does not take a chunk, which is kept in S3 alone")
	if errors.Is(err, unix.ENOSPC) { // the file system is smaller, or others fill it
		if oldest := d.oldest(); oldest != nil {
			d.evict(oldest, new(int64))
		}
	}
}

// append writes a record at the end of the active segment, and then adds it to the index.
func (d *Disk) append(slot uint64, name string, b []byte, tag uint32) error {
	s := d.writer.active
	d.writer.head = appendHead(d.writer.head[:0], slot, name, b)
	if _, err := s.file.WriteAt(d.writer.head, s.size); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(b, s.size+int64(len(d.writer.head))); err != nil {
		return err
	}
	size := recordSize(name, b)
	at := place{segment: s.number, offset: uint32(s.size), size: uint32(size)}
	s.listed = append(s.listed, listed{slot, at, tag &^ countMask})
	s.size += size
	d.resize(s, s.size)
	d.index.set(slot, entry{at, tag})
	return nil
}

// fits reports whether the active segment has room for a record, and its footer.
func (d *Disk) fits(size int64) bool {
	s := d.writer.active
	return s != nil && int64(len(s.listed)) < d.records() && s.size+size+footerSize(len(s.listed)+1) <= d.segmentSize
}

// makeRoom makes room for a record: a new segment if need be, and then, within the
// limits of the disk and of the index, for all that this one may hold.
func (d *Disk) makeRoom(size int64) error {
	// Half of a segment is for what is new. If a record is larger than that and what
	// moved leaves too little, nothing moves into the next one.
	for _, moves := range []int64{d.segmentSize / 2, 0} {
		if d.fits(size) {
			return nil
		}
		d.seal()
		if err := d.create(); err != nil {
			return err
		}
		for oldest := d.oldest(); oldest != nil && d.isFull(); oldest = d.oldest() {
			d.evict(oldest, &moves)
		}
	}
	return nil
}

// isFull reports whether the disk or the index would be too full with an active segment
// that is full.
func (d *Disk) isFull() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := d.writer.active
	return d.bytes-s.total+d.segmentSize > d.cfg.Size ||
		d.index.count.Load()-int64(len(s.listed))+d.records() > d.mostEntries.Load()
}

// shrink evicts what the index has no room for any more, and gives its memory back, also
// that of what was evicted for new chunks meanwhile.
func (d *Disk) shrink() {
	shrinks := d.shrunk.Swap(false)
	for d.index.count.Load() > d.mostEntries.Load() {
		oldest := d.oldest()
		if oldest == nil {
			if d.writer.active == nil {
				break
			}
			d.seal() // the next one holds fewer
			continue
		}
		d.evict(oldest, new(int64))
		shrinks = true
	}
	if shrinks {
		d.index.compact()
	}
}

// create begins a segment.
func (d *Disk) create() error {
	var f File
	err := fs.ErrExist
	for errors.Is(err, fs.ErrExist) { // what has the name and is no segment stays
		d.writer.next++
		f, err = d.files.Open(segmentName(d.writer.next), true)
	}
	if err != nil {
		return err
	}
	number := d.writer.next
	if _, err := f.WriteAt(header(d.identity, number), 0); err != nil {
		_ = f.Close() // nothing is in it
		d.remove(number)
		return err
	}
	s := &segment{number: number, file: f, size: headerSize}
	d.mu.Lock()
	d.segments[number] = s
	d.mu.Unlock()
	d.resize(s, headerSize)
	d.writer.active = s
	return nil
}

// resize notes how large a segment's file is now.
func (d *Disk) resize(s *segment, total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += total - s.total
	s.total = total
}

// seal ends the active segment.
func (d *Disk) seal() {
	s := d.writer.active
	if s == nil {
		return
	}
	d.writer.active = nil
	if len(s.listed) == 0 {
		d.discard(s)
		return
	}
	d.sealWith(s, s.listed)
	s.listed = nil
}

// sealWith writes a segment's footer, once its records are on the disk itself: a footer
// that is there after the machine has lost its power tells of nothing that is not.
func (d *Disk) sealWith(s *segment, records []listed) {
	err := s.file.Sync()
	if err == nil {
		b := footer(records, s.size)
		if _, err = s.file.WriteAt(b, s.size); err == nil {
			s.sealed = true
			d.resize(s, s.size+int64(len(b)))
			return
		}
	}
	d.counts.writing.Add(1)
	d.writes.failed(err, "a segment has no footer, and will be read through at the next start")
}

// sealOld gives segments that a crash left without a footer one.
func (d *Disk) sealOld() {
	for _, s := range d.all() {
		if s.sealed {
			continue
		}
		if records, err := s.find(); err == nil && !s.sealed {
			d.sealWith(s, records)
		}
	}
}

// closeAll ends the segments, and closes the directory.
func (d *Disk) closeAll() {
	d.seal()
	for _, s := range d.all() {
		_ = s.file.Close() // what was written to it is checked when it is read
	}
	d.close()
}

// all are the segments that there are.
func (d *Disk) all() (all []*segment) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, s := range d.segments {
		all = append(all, s)
	}
	return all
}
