package fill

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"larder/keys"
	"larder/store"
)

// errNotOwner refuses a peer's question that another node would have to
// answer: it is not passed on.
var errNotOwner = errors.New("not the owner")

// chunk is a chunk of a version. Its bytes never change.
type chunk struct {
	key     keys.Key
	version keys.Version
	n       int
	size    int64  // of the whole object
	length  int64  // of the chunk
	digest  string // SHA-256 in hex, if the head says it: of an object of one chunk
	listed  bool   // the store has a list of the digests of the object's chunks
}

// name is the chunk's name in the memory tier.
func (c chunk) name() string { return keys.Chunk(c.key, c.version, c.n) }

// chunkOf is chunk n of the version that the head names.
func (f *Filler) chunkOf(k keys.Key, h store.Head, n int) chunk {
	c := chunk{key: k, version: versionOf(h), n: n, size: h.Size, length: f.chunkLen(h.Size, n)}
	return f.withDigest(c, h)
}

// withDigest is a chunk with what its head says of its digest.
func (f *Filler) withDigest(c chunk, h store.Head) chunk {
	if c.length == c.size {
		c.digest = h.Digest
	}
	c.listed = h.Piece == f.cfg.ChunkSize
	return c
}

// versionOf is what tells the bytes of a head from all others of its key.
func versionOf(h store.Head) keys.Version {
	return keys.Version{ETag: h.Version, Write: h.WriteName()}
}

// chunkLen is the length of chunk n of an object of this size.
func (f *Filler) chunkLen(size int64, n int) int64 { return lengthOf(size, f.cfg.ChunkSize, n) }

func lengthOf(size, chunkSize int64, n int) int64 {
	return min(chunkSize, size-int64(n)*chunkSize)
}

// chunkText names a chunk with all that is needed to read it: the object's size,
// the chunk size of whoever asks and the chunk's name, with a space between.
type chunkText struct {
	size, chunk int64
	name        string
}

func (q chunkText) String() string {
	b := strconv.AppendInt(make([]byte, 0, 48+len(q.name)), q.size, 10)
	b = strconv.AppendInt(append(b, ' '), q.chunk, 10)
	return string(append(append(b, ' '), q.name...))
}

func parseChunkText(text string) (q chunkText, err error) {
	size, rest, _ := strings.Cut(text, " ")
	chunk, name, _ := strings.Cut(rest, " ")
	q.name = name
	if q.size, err = strconv.ParseInt(size, 10, 64); err == nil {
		q.chunk, err = strconv.ParseInt(chunk, 10, 64)
	}
	if err != nil {
		return q, fmt.Errorf("%w: not a chunk of an object: %w", keys.ErrBadKey, err)
	}
	return q, nil
}

// chunkNamed is the chunk that a text names, and its name in the memory tier.
func chunkNamed(text string, chunkSize int64) (c chunk, name string, err error) {
	q, err := parseChunkText(text)
	if err != nil {
		return c, "", err
	}
	if c.key, c.version, c.n, err = keys.ParseChunk(q.name); err != nil {
		return c, "", err
	}
	if q.chunk != chunkSize {
		return c, "", errNotOwner
	}
	if c.size, c.length = q.size, lengthOf(q.size, chunkSize, c.n); c.length <= 0 || int64(c.n) > q.size/chunkSize {
		return c, "", fmt.Errorf("%w: not a chunk of an object", keys.ErrBadKey)
	}
	return c, q.name, nil
}
