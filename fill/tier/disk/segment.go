package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// A segment is a file of
//
//	header   magic (16), identity (32), number (8), checksum (8)
//	records  in the order in which they were written
//	footer   for each record: slot (8), offset (4), size (4), fingerprint (4)
//	end      magic (8), number of records (4), 0 (4), offset of the footer (8), checksum (8)
//
// The checksums are the XXH3 of what is before them: of the header, and of the footer
// and its end. Footer and end are there once the segment is full, and the records are
// on the disk itself.
const (
	headerMagic = "larder-chunks-2\n"
	headerSize  = 64
	endMagic    = "LDCSEND1"
	endSize     = 32
	listedSize  = 20 // of a record in the footer

	// maxRecords bounds the records of a segment, and so what its footer takes.
	maxRecords = 1 << 16

	segmentSuffix = ".chunks"
)

// segment is one file. Only the writer changes it.
type segment struct {
	number uint32
	file   File
	size   int64    // up to the end of the last record
	total  int64    // the same, with footer and end
	listed []listed // its records, while it is written
	sealed bool     // it has a footer
}

// listed is a record as the footer has it.
type listed struct {
	slot  uint64
	place place
	print uint32
}

func (l listed) entry() entry { return entry{place: l.place, tag: l.print} }

func segmentName(number uint32) string { return fmt.Sprintf("%08x%s", number, segmentSuffix) }

// numberOf is the number of a segment from its file's name.
func numberOf(name string) (uint32, bool) {
	hex, found := strings.CutSuffix(name, segmentSuffix)
	n, err := strconv.ParseUint(hex, 16, 32)
	return uint32(n), found && err == nil && segmentName(uint32(n)) == name
}

func header(identity [sha256.Size]byte, number uint32) []byte {
	b := append(make([]byte, 0, headerSize), headerMagic...)
	b = append(b, identity[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(number))
	return binary.LittleEndian.AppendUint64(b, xxh3.Hash(b))
}

// errForeign says that a segment is of another bucket, or of another format.
var errForeign = errors.New("a segment of another bucket, prefix, chunk size or version of the format")

// checkHeader reports by its error whether a segment's header is the one expected.
func checkHeader(f File, identity [sha256.Size]byte, number uint32) error {
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	if !bytes.Equal(b, header(identity, number)) {
		return errForeign
	}
	return nil
}

// footer is a segment's footer and end.
func footer(records []listed, offset int64) []byte {
	b := make([]byte, 0, footerSize(len(records)))
	for _, l := range records {
		b = binary.LittleEndian.AppendUint64(b, l.slot)
		b = binary.LittleEndian.AppendUint32(b, l.place.offset)
		b = binary.LittleEndian.AppendUint32(b, l.place.size)
		b = binary.LittleEndian.AppendUint32(b, l.print)
	}
	b = append(b, endMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(records)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(offset))
	return binary.LittleEndian.AppendUint64(b, xxh3.Hash(b))
}

func footerSize(records int) int64 { return int64(records)*listedSize + endSize }

// readFooter returns what a segment of so many bytes holds, and where the footer
// begins. A segment without a whole footer is errCorrupt.
func readFooter(f File, number uint32, total int64) (records []listed, offset int64, err error) {
	if total < headerSize+endSize {
		return nil, 0, errCorrupt
	}
	end := make([]byte, endSize)
	if _, err := f.ReadAt(end, total-endSize); err != nil {
		return nil, 0, err
	}
	n := int64(binary.LittleEndian.Uint32(end[8:]))
	offset = int64(binary.LittleEndian.Uint64(end[16:]))
	if string(end[:8]) != endMagic || n > maxRecords || offset < headerSize || offset+footerSize(int(n)) != total {
		return nil, 0, errCorrupt
	}
	b := make([]byte, total-offset)
	if _, err := f.ReadAt(b, offset); err != nil {
		return nil, 0, err
	}
	summed, sum := b[:len(b)-8], b[len(b)-8:]
	if binary.LittleEndian.Uint64(sum) != xxh3.Hash(summed) {
		return nil, 0, errCorrupt
	}
	records = make([]listed, n)
	for i := range records {
		r := b[i*listedSize:]
		l := listed{
			slot:  binary.LittleEndian.Uint64(r),
			place: place{segment: number, offset: binary.LittleEndian.Uint32(r[8:]), size: binary.LittleEndian.Uint32(r[12:])},
			print: binary.LittleEndian.Uint32(r[16:]) &^ countMask,
		}
		if l.place.size < recordHead || int64(l.place.offset)+int64(l.place.size) > offset {
			return nil, 0, errCorrupt
		}
		records[i] = l
	}
	return records, offset, nil
}

// scan reads a segment of so many bytes through, up to the first record that is not
// whole. It returns the records before that, and where they end.
func scan(f File, number uint32, total int64) (records []listed, offset int64, err error) {
	var buf []byte
	offset = headerSize
	for len(records) < maxRecords && total-offset >= recordHead {
		buf = grown(buf, recordHead)
		if _, err := f.ReadAt(buf, offset); err != nil {
			return records, offset, err
		}
		h, err := parseHead(buf, total-offset)
		if err != nil {
			return records, offset, nil //nolint:nilerr // here the whole records end
		}
		buf = grown(buf, h.size())
		if _, err := f.ReadAt(buf, offset); err != nil {
			return records, offset, err
		}
		before, b := buf[:recordHead+h.name], buf[recordHead+h.name:]
		name := string(before[recordHead:])
		if verify(before, h.slot, name, b) != nil {
			return records, offset, nil //nolint:nilerr // the same
		}
		records = append(records, listed{h.slot, place{number, uint32(offset), uint32(h.size())}, fingerprint(name)})
		offset += h.size()
	}
	return records, offset, nil
}

// grown is a buffer of n bytes, this one if it is large enough.
func grown(buf []byte, n int64) []byte {
	if int64(cap(buf)) < n {
		return make([]byte, n)
	}
	return buf[:n]
}
