package chunks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/zeebo/xxh3"

	"larder/heads"
	"larder/store"
)

// errDigest says that bytes are not those that were written.
var errDigest = fmt.Errorf("%w: its bytes are not those that were written: their digest is another", store.ErrUnexpected)

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
	return v.compare(c, want[:], sum[:], from)
}

// passing is the bytes of a chunk that pass through this node to one caller, and are not
// kept. Those of an object's first chunk are compared with the XXH3 that its owner took of
// what it holds, and has compared with its SHA-256: that owner says the head too, SHA-256
// and all, so it is trusted as much either way. All else is compared with its SHA-256.
type passing struct {
	digests *digests
	chunk   Chunk
	want    []byte
	make    func() hash.Hash
	sum     hash.Hash // of the bytes so far
}

// passing is for a chunk whose owner says this XXH3 of it, if it is summed; nil if nothing
// is known of its digest.
func (v *digests) passing(c Chunk, sum uint64, summed bool) *passing {
	p := &passing{digests: v, chunk: c}
	if summed && c.n == 0 {
		p.want, p.make = binary.BigEndian.AppendUint64(nil, sum), func() hash.Hash { return xxh3.New() }
	} else {
		want, known := v.of(context.Background(), c) // may ask the store for a list
		if !known {
			v.unknown.Add(1)
			return nil
		}
		p.want, p.make = want[:], sha256.New
	}
	p.sum = p.make()
	return p
}

func (p *passing) add(b []byte) { _, _ = p.sum.Write(b) } // a hash takes everything

// end adds the last bytes, and compares all of them with the chunk's digest.
func (p *passing) end(b []byte) error {
	if p == nil {
		return nil
	}
	p.add(b)
	return p.digests.compare(p.chunk, p.want, p.sum.Sum(nil), Peer)
}

// isOf compares the bytes so far with the same number from elsewhere.
func (p *passing) isOf(b []byte) error {
	if p == nil || len(b) == 0 {
		return nil
	}
	sum := p.make()
	_, _ = sum.Write(b)
	return p.digests.compare(p.chunk, sum.Sum(nil), p.sum.Sum(nil), Peer)
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

func (v *digests) compare(c Chunk, want, got []byte, from Source) error {
	if bytes.Equal(want, got) {
		return nil
	}
	v.mismatch(from)
	v.log.Error().Stringer("key", c.key).Str("version", c.version.ETag).Str("write", c.version.Write).Int("chunk", c.n).Str("source", string(from)).
		Hex("want", want).Hex("got", got).Msg("bytes are not those that were written")
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
