package fill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"

	"larder/keys"
	"larder/store"
)

// errDigest says that bytes are not those that were written.
var errDigest = fmt.Errorf("%w: its bytes are not those that were written: their SHA-256 is another", store.ErrUnexpected)

// Writer is the source of chunks that nodes give to the owner after a write.
const Writer Source = "writer"

// verified counts what came of comparing chunks with their digests.
type verified struct {
	s3, peer, writer atomic.Int64 // mismatches, by source
	unknown          atomic.Int64 // chunks without a digest to compare them with
}

func (v *verified) mismatch(from Source) {
	switch from {
	case S3:
		v.s3.Add(1)
	case Writer:
		v.writer.Add(1)
	default:
		v.peer.Add(1)
	}
}

// check compares a chunk that came from outside with its digest, before it goes
// into memory or to a caller. One of which no digest is known is taken as it is,
// and counted.
func (f *Filler) check(ctx context.Context, c chunk, b []byte, from Source) error {
	return f.checkSum(ctx, c, b, nil, from)
}

// checkSum is check for bytes whose SHA-256 may be there already; else it is nil.
func (f *Filler) checkSum(ctx context.Context, c chunk, b []byte, sum *[sha256.Size]byte, from Source) error {
	want, known := f.digestOf(ctx, c)
	if !known {
		f.verified.unknown.Add(1)
		return nil
	}
	if sum == nil {
		here := sha256.Sum256(b)
		sum = &here
	}
	return f.compare(c, want, *sum, from)
}

func (f *Filler) compare(c chunk, want, got [sha256.Size]byte, from Source) error {
	if want == got {
		return nil
	}
	f.verified.mismatch(from)
	f.log.Error().Stringer("key", c.key).Str("version", c.version.ETag).Str("write", c.version.Write).Int("chunk", c.n).Str("source", string(from)).
		Hex("want", want[:]).Hex("got", got[:]).Msg("bytes are not those that were written")
	return fmt.Errorf("get %s version %s: %w", c.key, c.version.ETag, errDigest)
}

// digestOf is the SHA-256 of a chunk, if it is known: that of its object if it
// is the only chunk, else what the object's list of digests says.
func (f *Filler) digestOf(ctx context.Context, c chunk) (sum [sha256.Size]byte, known bool) {
	switch {
	case c.digest != "":
	case c.listed:
		return f.lists.digest(ctx, c)
	default:
		return sum, false
	}
	var text [2 * sha256.Size]byte
	if copy(text[:], c.digest) != len(c.digest) {
		return sum, false
	}
	n, err := hex.Decode(sum[:], text[:])
	return sum, err == nil && n == sha256.Size
}

// twice tries what reads from the store once more if the bytes are not those of
// the head: under overwrite some servers answer with the head of one version and
// the bytes of another.
func twice(read func() error) error {
	err := read()
	if errors.Is(err, errDigest) {
		err = read()
	}
	return err
}

// prove reports by its error whether the bytes that a peer says were just written
// are those that the store holds. What cannot be proven is not kept.
func (f *Filler) prove(ctx context.Context, c chunk, b []byte) error {
	if c.size <= f.cfg.ChunkSize {
		h, err := f.headOf(ctx, c.key)
		if err != nil {
			return err
		}
		if !h.Is(c.version.ETag, c.version.Write) || h.Size != c.size {
			return fmt.Errorf("%w: another version is there", store.ErrPrecondition)
		}
		c.digest = h.Digest
	}
	c.listed = true // if it is not, none is found
	want, known := f.digestOf(ctx, c)
	if !known {
		return fmt.Errorf("%w: there is no digest to compare it with", store.ErrPrecondition)
	}
	return f.compare(c, want, sha256.Sum256(b), Writer)
}

// headOf is the head of k as this node trusts it, or as the store says.
func (f *Filler) headOf(ctx context.Context, k keys.Key) (store.Head, error) {
	if is, ok := f.heads.Owned(k); ok && !is.Absent {
		return is.Head, nil
	}
	return f.store.Head(ctx, k.Place())
}
