package disk

// oldest is the oldest segment that is not written any more, or nil.
func (d *Disk) oldest() (oldest *segment) {
	for _, s := range d.all() {
		if s != d.writer.active && (oldest == nil || s.number < oldest.number) {
			oldest = s
		}
	}
	return oldest
}

// evict gives up a segment. What was read since it was written, or is in memory, moves to
// the active segment, as far as that has room and moves, in bytes, allows.
func (d *Disk) evict(s *segment, moves *int64) {
	records, err := s.find()
	for _, l := range records {
		e, ok := d.index.get(l.slot)
		if !ok || e.place != l.place { // another version took its place, or it moved
			continue
		}
		if int64(l.place.size) <= *moves && d.fits(int64(l.place.size)) && d.move(s, l, e.tag) {
			*moves -= int64(l.place.size)
			d.counts.moved.Add(1)
			continue
		}
		if d.index.remove(l.slot, l.place) {
			d.counts.evicted.Add(1)
		}
	}
	if err != nil {
		d.counts.reading.Add(1)
		d.reads.failed(err, "a segment cannot be read whole, and is given up")
		d.counts.evicted.Add(d.index.removeAll(s.number))
	}
	d.discard(s)
}

// move writes a chunk anew if it is worth it, and reports whether it has.
func (d *Disk) move(s *segment, l listed, tag uint32) bool {
	count := tag & countMask
	name, ok := s.nameAt(l.place)
	if !ok || count == 0 && (d.cfg.InMemory == nil || !d.cfg.InMemory(name)) {
		return false
	}
	d.writer.moving = grown(d.writer.moving, int64(l.place.size))
	record := d.writer.moving
	if _, err := s.file.ReadAt(record, int64(l.place.offset)); err != nil {
		return false
	}
	before, b := record[:recordHead+len(name)], record[recordHead+len(name):]
	if verify(before, l.slot, name, b) != nil {
		return false
	}
	return d.append(l.slot, name, b, tag&^countMask|max(count, 1)-1) == nil
}

// nameAt is the name of the record at a place.
func (s *segment) nameAt(p place) (string, bool) {
	b := make([]byte, min(p.size, recordHead+usualName))
	if _, err := s.file.ReadAt(b, int64(p.offset)); err != nil {
		return "", false
	}
	h, err := parseHead(b, int64(p.size))
	if err != nil {
		return "", false
	}
	if end := recordHead + h.name; end > uint32(len(b)) {
		b = make([]byte, end)
		if _, err := s.file.ReadAt(b, int64(p.offset)); err != nil {
			return "", false
		}
	}
	return string(b[recordHead : recordHead+h.name]), true
}

// usualName is as long as most names are.
const usualName = 16

// discard removes a segment of which the index names nothing any more.
func (d *Disk) discard(s *segment) {
	d.mu.Lock()
	delete(d.segments, s.number)
	d.bytes -= s.total
	d.mu.Unlock()
	_ = s.file.Close() // whoever reads it now gets nothing
	d.remove(s.number)
}
