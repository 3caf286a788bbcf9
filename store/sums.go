package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Sums are the digests of the pieces of one object, for a reader of only a part
// of it. They are kept as an object of their own:
//
//	8 bytes   "larder1\n"
//	8 bytes   Size, as all numbers with the highest byte first
//	8 bytes   Piece
//	2 bytes   length of Name
//	…         Name
//	32 bytes  for each piece, its SHA-256
type Sums struct {
	// Name is that of the object.
	Name string
	// Size of the object, in bytes.
	Size int64
	// Piece is how long each piece is but the last, in bytes.
	Piece int64
	// Digests of the pieces, in their order.
	Digests [][sha256.Size]byte
}

const (
	sumsMagic = "larder1\n"
	sumsHead  = len(sumsMagic) + 8 + 8 + 2
	// maxSums is the longest list that is read, in bytes.
	maxSums = 8 << 20
	// SumsName is how many bytes of Sums are enough to know their Name.
	SumsName = int64(sumsHead + 1<<10)
)

var errSums = fmt.Errorf("%w: not a list of digests", ErrUnexpected)

// Bytes is how the list is kept.
func (s Sums) Bytes() []byte {
	b := make([]byte, 0, sumsHead+len(s.Name)+len(s.Digests)*sha256.Size)
	b = append(b, sumsMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Size))      //nolint:gosec // sizes are not negative
	b = binary.BigEndian.AppendUint64(b, uint64(s.Piece))     //nolint:gosec // nor are these
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Name))) //nolint:gosec // S3 takes 1,024 bytes
	b = append(b, s.Name...)
	for _, d := range s.Digests {
		b = append(b, d[:]...)
	}
	return b
}

// Sums reads the list of digests of this name. Absence is ErrNotFound; one that is
// not as it was written, ErrUnexpected.
func (s *S3) Sums(ctx context.Context, name string) (Sums, error) {
	head, b, err := s.getFirst(ctx, "digests", name, nil, maxSums, nil)
	if err != nil {
		return Sums{}, fmt.Errorf("get %s: %w", name, err)
	}
	if head.Sum == nil || head.Digest != hex.EncodeToString(head.Sum[:]) {
		return Sums{}, fmt.Errorf("get %s: %w", name, errSums)
	}
	return ParseSums(b)
}

// ParseSums is the inverse of Bytes. Without all of the digests, those that are
// there are returned with the error.
func ParseSums(b []byte) (s Sums, err error) {
	if len(b) < sumsHead || !bytes.HasPrefix(b, []byte(sumsMagic)) {
		return Sums{}, errSums
	}
	b = b[len(sumsMagic):]
	s.Size, s.Piece = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:])) //nolint:gosec // compared below
	n := int(binary.BigEndian.Uint16(b[16:]))
	if b = b[18:]; len(b) < n || s.Size < 0 || s.Piece <= 0 {
		return Sums{}, errSums
	}
	s.Name, b = string(b[:n]), b[n:]
	pieces := s.Size / s.Piece
	if s.Size%s.Piece > 0 {
		pieces++
	}
	for ; len(b) >= sha256.Size && int64(len(s.Digests)) < pieces; b = b[sha256.Size:] {
		s.Digests = append(s.Digests, [sha256.Size]byte(b))
	}
	if len(b) > 0 || int64(len(s.Digests)) != pieces {
		return s, errSums
	}
	return s, nil
}
