package chunks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"larder/heads"
	"larder/store"
)

// errDigest says that bytes are not those that were written.
var errDigest = fmt.Errorf("%w: its bytes are not those that were written: their SHA-256 is another", store.ErrUnexpected)

// digests compares chunks with their digests, and counts what came of it.
type digests struct {
	lists *lists
	log   zerolog.Logger

	s3, peer, writer atomic.Int64 // mismatches, by source
	unknown          atomic.Int64 // chunks without a digest to compare them with
}

func (v *digests) mismatch(from Source) {
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
// and counted. sum is its SHA-256 if that is there already, else nil.
func (v *digests) check(ctx context.Context, c Chunk, b []byte, sum *[sha256.Size]byte, from Source) error {
	want, known := v.of(ctx, c)
	if !known {
		v.unknown.Add(1)
		return nil
	}
	if sum == nil {
		here := sha256.Sum256(b)
		sum = &here
	}
	return v.compare(c, want, *sum, from)
}

// withHead is a chunk with what its head says of its digest. A peer that has a lease of the
// owner before names the chunk alone, and this node may never have heard of the head. Then
// the store is asked. The head is remembered: without one this node could not tell the
// next owner that it has the chunk.
func (s *Chunks) withHead(ctx context.Context, c Chunk) Chunk {
	if c.digest != "" || c.listed {
		return c
	}
	h, ok := s.heads.Last(c.key)
	if !ok || VersionOf(h) != c.version {
		ctx, cancel := context.WithTimeout(ctx, listLimit)
		defer cancel()
		var err error
		if h, err = s.store.Head(ctx, c.key.Place()); err != nil || !h.Is(c.version.ETag, c.version.Write) || h.Size != c.size {
			return c
		}
		s.heads.Remember(c.key, heads.Of(h, time.Now()))
	}
	return s.withDigest(c, h)
}

func (v *digests) compare(c Chunk, want, got [sha256.Size]byte, from Source) error {
	if want == got {
		return nil
	}
	v.mismatch(from)
	v.log.Error().Stringer("key", c.key).Str("version", c.version.ETag).Str("write", c.version.Write).Int("chunk", c.n).Str("source", string(from)).
		Hex("want", want[:]).Hex("got", got[:]).Msg("bytes are not those that were written")
	return fmt.Errorf("get %s version %s: %w", c.key, c.version.ETag, errDigest)
}

// of is the SHA-256 of a chunk, if it is known: that of its object if it
// is the only chunk, else what the object's list of digests says.
func (v *digests) of(ctx context.Context, c Chunk) (sum [sha256.Size]byte, known bool) {
	switch {
	case c.digest != "":
	case c.listed:
		return v.lists.digest(ctx, c)
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
