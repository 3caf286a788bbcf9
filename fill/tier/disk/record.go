package disk

import (
	"encoding/binary"
	"errors"

	"github.com/zeebo/xxh3"
)

// A record is a chunk in a segment. Numbers are little-endian, and those in brackets
// the bytes that a number has; lengths are in bytes.
//
//	magic (4), length of name (4), of bytes (4), 0 (4), slot (8), checksum (8), name, bytes
//
// The checksum is the XXH3 of the bytes, with the XXH3 of all that is before them, but for
// the checksum itself, as its seed: neither has to be copied beside the other.
const (
	recordMagic = 0x3143444c // "LDC1"
	recordHead  = 32
	summedHead  = 24 // bytes of the head before the checksum

	// maxName bounds a name. Package chunks gives IDs of 16 bytes.
	maxName = 8 << 10
)

// errCorrupt says that what the disk gave is not what was written.
var errCorrupt = errors.New("the bytes on the disk are not those that were written")

// recordSize is the size of a chunk's record.
func recordSize(name string, b []byte) int64 {
	return recordHead + int64(len(name)) + int64(len(b))
}

// appendHead appends a record's head and name: what is before the chunk's bytes.
func appendHead(to []byte, slot uint64, name string, b []byte) []byte {
	start := len(to)
	to = binary.LittleEndian.AppendUint32(to, recordMagic)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(name)))
	to = binary.LittleEndian.AppendUint32(to, uint32(len(b)))
	to = binary.LittleEndian.AppendUint32(to, 0)
	to = binary.LittleEndian.AppendUint64(to, slot)
	to = binary.LittleEndian.AppendUint64(to, checksum(to[start:start+summedHead], name, b))
	return append(to, name...)
}

// checksum is that of a record whose head, up to the checksum, and name are those.
func checksum(head []byte, name string, b []byte) uint64 {
	var room [summedHead + 64]byte // of most names
	return xxh3.HashSeed(b, xxh3.Hash(append(append(room[:0], head...), name...)))
}

// head is what a record says of itself.
type head struct {
	name, bytes uint32 // lengths
	slot        uint64
	sum         uint64
}

// parseHead reads the head of a record that ends within so many bytes.
func parseHead(b []byte, room int64) (h head, err error) {
	if len(b) < recordHead || binary.LittleEndian.Uint32(b) != recordMagic || binary.LittleEndian.Uint32(b[12:]) != 0 {
		return h, errCorrupt
	}
	h = head{
		name: binary.LittleEndian.Uint32(b[4:]), bytes: binary.LittleEndian.Uint32(b[8:]),
		slot: binary.LittleEndian.Uint64(b[16:]), sum: binary.LittleEndian.Uint64(b[24:]),
	}
	if h.name > maxName || h.size() > room {
		return h, errCorrupt
	}
	return h, nil
}

// size is the size of the record.
func (h head) size() int64 { return recordHead + int64(h.name) + int64(h.bytes) }

// verify compares a record with the chunk that it ought to be, and its checksum.
// before is what is before the chunk's bytes.
func verify(before []byte, slot uint64, name string, b []byte) error {
	h, err := parseHead(before, int64(len(before)+len(b)))
	if err != nil {
		return err
	}
	if h.slot != slot || h.size() != recordSize(name, b) || string(before[recordHead:]) != name ||
		h.sum != checksum(before[:summedHead], name, b) {
		return errCorrupt
	}
	return nil
}

// fingerprint is what the index keeps of a name. Its two lowest bits are 0.
func fingerprint(name string) uint32 { return uint32(xxh3.HashString(name)>>32) &^ countMask }
