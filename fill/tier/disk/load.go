package disk

import (
	"errors"
	"math"
	"sync"

	"golang.org/x/sync/errgroup"
)

// loadsAtOnce is how many segments are looked at at once at the start.
const loadsAtOnce = 16

// load finds the segments that are there, and rebuilds the index. Nothing else runs yet.
func (d *Disk) load() {
	names, err := d.files.List()
	if err != nil {
		d.counts.opening.Add(1)
		d.log.Error().Err(err).Str("dir", d.cfg.Dir).Msg("the disk cannot be used; chunks are kept in memory and in S3 alone")
	}
	var mu sync.Mutex // guards foreign, the segments, and their highest number
	var g errgroup.Group
	foreign := 0
	g.SetLimit(loadsAtOnce)
	for _, name := range names {
		number, ok := numberOf(name)
		if !ok {
			continue // it is none of ours
		}
		g.Go(func() error {
			s, err := d.open(name, number)
			mu.Lock()
			defer mu.Unlock()
			if s != nil {
				d.segments[number] = s
				d.bytes += s.total
				d.writer.next = max(d.writer.next, number)
			} else if errors.Is(err, errForeign) {
				foreign++
			}
			return nil
		})
	}
	_ = g.Wait()
	if foreign > 0 {
		d.log.Warn().Int("segments", foreign).Str("dir", d.cfg.Dir).Msg("removed what was kept for another bucket, prefix, chunk size or version of the format")
	}
	if len(names) > 0 {
		d.log.Info().Int64("chunks", d.index.count.Load()).Int64("bytes", d.bytes).Msg("the disk has chunks from before")
	}
}

// open opens a segment that is there, and adds what it holds to the index. One that
// holds nothing, or nothing of use, is removed.
func (d *Disk) open(name string, number uint32) (*segment, error) {
	f, err := d.files.Open(name, false)
	if err != nil {
		d.counts.opening.Add(1)
		d.reads.failed(err, "a segment cannot be opened")
		return nil, err
	}
	s := &segment{number: number, file: f}
	var records []listed
	if s.total, err = f.Size(); err == nil && s.total >= headerSize {
		if err = checkHeader(f, d.identity, number); err == nil && s.total > math.MaxUint32 {
			err = errForeign
		}
		if err == nil {
			records, err = s.find()
		}
	}
	if err != nil && !errors.Is(err, errForeign) {
		d.counts.reading.Add(1)
		d.reads.failed(err, "a segment cannot be read whole")
	}
	if len(records) == 0 {
		_ = f.Close()
		d.remove(number)
		return nil, err
	}
	for _, l := range records {
		d.index.set(l.slot, l.entry())
	}
	return s, nil
}

// find returns what a segment of total bytes holds, from its footer if it has one. With
// an error it is what was found up to there.
func (s *segment) find() (records []listed, err error) {
	if records, s.size, err = readFooter(s.file, s.number, s.total); err == nil {
		s.sealed = true
		return records, nil
	}
	records, s.size, err = scan(s.file, s.number, s.total)
	return records, err
}

// remove removes a segment's file.
func (d *Disk) remove(number uint32) {
	if err := d.files.Remove(segmentName(number)); err != nil {
		d.counts.writing.Add(1)
		d.writes.failed(err, "a segment cannot be removed")
	}
}
