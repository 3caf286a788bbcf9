package disk

// cachedFile is a file of which what the system has in memory can be read without
// waiting for the disk.
type cachedFile interface {
	// ReadCached reads pieces that follow each other, from an offset on. It is false
	// unless all of them were in memory.
	ReadCached(pieces [][]byte, off int64) bool
}

// GetCached reads a chunk, which is as long as b, into b if that takes no waiting: the
// system has it in its page cache. Otherwise Get is to be asked, which finds out why.
func (d *Disk) GetCached(slot uint64, name string, b []byte) bool {
	if d == nil || len(b) == 0 {
		return false
	}
	print := fingerprint(name)
	e, ok := d.index.get(slot)
	if !ok || !e.isOf(print) || int64(e.size) != recordSize(name, b) {
		return false
	}
	s := d.segmentOf(e.place)
	if s == nil {
		return false
	}
	f, ok := s.file.(cachedFile)
	if !ok {
		return false
	}
	var room [recordHead + usualName]byte
	before := grown(room[:0], recordHead+int64(len(name)))
	if !f.ReadCached([][]byte{before, b}, int64(e.offset)) || verify(before, slot, name, b) != nil {
		return false
	}
	d.index.read(slot, print)
	return true
}
