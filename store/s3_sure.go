package store

import (
	"context"
	"errors"
	"fmt"
)

// Foreign reports whether an object has nothing of what Larder writes beside it: another
// tool wrote it, or the server has lost its metadata.
func (h Head) Foreign() bool { return h.Write == "" && h.Digest == "" && h.Writer == "" }

// sure reads, and believes an object that is foreign only if a second look finds the same.
// Of an object that is being replaced in place some servers answer one write's length, and
// another's ETag and bytes, without metadata, so that no digest finds it out:
//
//	the read looks up the old object, of 4 bytes
//	a write moves the new one, of 6, to its place
//	the read opens the new one, finds no metadata for one of 4 bytes, and sends the first 4
//
// The ETag is never newer than the bytes there, and the second look comes after them.
func (s *S3) sure(ctx context.Context, name string, read func() (Head, error)) (Head, error) {
	for range attempts {
		head, err := read()
		if err != nil || !head.Foreign() {
			return head, err
		}
		again, err := s.headOnce(ctx, name)
		switch {
		case errors.Is(err, ErrNotFound): // now it is gone
		case err != nil:
			return Head{}, err
		case again.Foreign() && again.Version == head.Version && again.Size == head.Size:
			s.notes.odd("an object has none of the metadata that larder writes: something else wrote it, or the store has lost its metadata", name)
			return head, nil
		}
	}
	return Head{}, fmt.Errorf("%w: what it answers changes from one request to the next", ErrUnavailable)
}
