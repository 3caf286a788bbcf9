package disk

import (
	"testing"
)

// Whatever a segment holds, what is found in it lies within it, and is what was written
// if its checksum says so.
func FuzzSegment(f *testing.F) {
	crashed, ended := segmentBytes()
	f.Add(crashed)
	f.Add(ended)
	f.Add(ended[:len(ended)-1])
	f.Add(ended[:headerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMemory()
		m.files["s"] = b
		s := &segment{number: 1, file: &memoryFile{m, "s"}, total: int64(len(b))}
		records, err := s.find()
		if err != nil {
			t.Fatalf("a file that can be read is an error: %v", err)
		}
		for _, l := range records {
			if int64(l.place.offset)+int64(l.place.size) > int64(len(b)) || l.place.segment != 1 {
				t.Fatalf("a record outside of its segment: %+v", l)
			}
			name, ok := s.nameAt(l.place)
			if !ok {
				continue // the footer says that something is there, and reading it fails
			}
			length := int64(l.place.size) - recordSize(name, nil)
			if length <= 0 {
				continue
			}
			r := readingOf(s.file, l.place, name, make([]byte, length))
			if err := r.rest(); err == nil && r.n != int(l.place.size) {
				t.Fatalf("of a record of %d bytes %d were read", l.place.size, r.n)
			}
		}
	})
}

// segmentBytes is a segment without and with a footer.
func segmentBytes() (crashed, ended []byte) {
	b := append(make([]byte, 0, 4096), header([32]byte{}, 1)...)
	var records []listed
	for n := range 3 {
		size := recordSize(nameOf(n), bytesOf(n))
		records = append(records, listed{slotOf(n), place{1, uint32(len(b)), uint32(size)}, fingerprint(nameOf(n))})
		b = append(appendHead(b, slotOf(n), nameOf(n), bytesOf(n)), bytesOf(n)...)
	}
	return b, append(b[:len(b):len(b)], footer(records, int64(len(b)))...)
}
