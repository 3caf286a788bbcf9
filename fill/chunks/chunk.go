package chunks

import (
	"fmt"
	"strconv"
	"strings"

	"larder/keys"
	"larder/store"
)

// Chunk is a chunk of a version. Its bytes never change.
type Chunk struct {
	key     keys.Key
	version keys.Version
	n       int
	size    int64  // of the whole object
	length  int64  // of the chunk
	digest  string // SHA-256 in hex, if the head says it: of an object of one chunk
	listed  bool   // the store has a list of the digests of the object's chunks
}

// name is the chunk's name in the memory tier.
func (c Chunk) name() string { return keys.Chunk(c.key, c.version, c.n) }

// id is a chunk of a key, of whichever version.
type id struct {
	key keys.Key
	n   int
}

func (c Chunk) id() id { return id{c.key, c.n} }

// isLong returns an error unless b is as long as the chunk.
func (c Chunk) isLong(b []byte) error {
	if int64(len(b)) != c.length {
		return fmt.Errorf("chunk of %d bytes where %d were expected: %w", len(b), c.length, store.ErrUnexpected)
	}
	return nil
}

// Of is chunk n of the version that the head names.
func (s *Chunks) Of(k keys.Key, h store.Head, n int) Chunk {
	c := Chunk{key: k, version: VersionOf(h), n: n, size: h.Size, length: lengthOf(h.Size, s.size, n)}
	return s.withDigest(c, h)
}

// withDigest is a chunk with what its head says of its digest.
func (s *Chunks) withDigest(c Chunk, h store.Head) Chunk {
	if c.length == c.size {
		c.digest = h.Digest
	}
	c.listed = h.Piece == s.size
	return c
}

// VersionOf is what tells the bytes of a head from all others of its key.
func VersionOf(h store.Head) keys.Version {
	return keys.Version{ETag: h.Version, Write: h.WriteName()}
}

// lengthOf is the length of chunk n of an object of this size.
func lengthOf(size, chunkSize int64, n int) int64 {
	return min(chunkSize, size-int64(n)*chunkSize)
}

// textOf names a chunk to its owner, with all that is needed to read it: the object's
// size, this node's chunk size and the chunk's name, with a space between.
func (s *Chunks) textOf(c Chunk) string {
	name := c.name()
	b := strconv.AppendInt(make([]byte, 0, 48+len(name)), c.size, 10)
	b = strconv.AppendInt(append(b, ' '), s.size, 10)
	return string(append(append(b, ' '), name...))
}

// chunkNamed is the chunk that a text names, and its name in the memory tier.
func (s *Chunks) chunkNamed(text string) (c Chunk, name string, err error) {
	var size, rest, chunk string
	size, rest, _ = strings.Cut(text, " ")
	chunk, name, _ = strings.Cut(rest, " ")
	if c.key, c.version, c.n, err = keys.ParseChunk(name); err != nil {
		return c, "", err
	}
	if chunk != strconv.FormatInt(s.size, 10) {
		return c, "", ErrNotOwner
	}
	c.size, err = strconv.ParseInt(size, 10, 64)
	if c.length = lengthOf(c.size, s.size, c.n); err != nil || c.length <= 0 || int64(c.n) > c.size/s.size {
		return c, "", fmt.Errorf("%w: not a chunk of an object", keys.ErrBadKey)
	}
	return c, name, nil
}
