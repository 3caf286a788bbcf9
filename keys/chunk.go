package keys

import (
	"fmt"
	"strconv"
	"strings"
)

// Version tells the contents that a key has had from each other.
type Version struct {
	// ETag is the store's name of the bytes: often their MD5, of which two
	// contents may have the same.
	ETag string
	// Write is the name of the write that put them there.
	Write string
}

// Chunk returns the chunk key of the n-th chunk, from 0, of one version of k:
// what the memory tier calls those bytes. It is
//
//	N,len(ORG),len(SERVICE),len(ETAG),len(WRITE):ORG SERVICE ETAG WRITE NAME
//
// without the spaces. Lengths rather than separators keep it unambiguous
// whatever the parts hold.
func Chunk(k Key, v Version, n int) string {
	var buf [1024]byte // of most
	return string(AppendChunk(buf[:0], k, v, n))
}

// AppendChunk appends what Chunk returns.
func AppendChunk(b []byte, k Key, v Version, n int) []byte {
	b = strconv.AppendInt(b, int64(n), 10)
	for _, part := range [...]string{k.Org, k.Service, v.ETag, v.Write} {
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(len(part)), 10)
	}
	b = append(b, ':')
	b = append(b, k.Org...)
	b = append(b, k.Service...)
	b = append(b, v.ETag...)
	b = append(b, v.Write...)
	return append(b, k.Name...)
}

// ParseChunk is the inverse of Chunk. A text that Chunk does not return for
// any valid key is an error that wraps ErrBadKey.
func ParseChunk(s string) (k Key, v Version, n int, err error) {
	var counts [5]int
	rest := s
	for i, end := range [...]string{",", ",", ",", ",", ":"} {
		field, after, found := strings.Cut(rest, end)
		count, ok := parseCount(field)
		if !found || !ok {
			return Key{}, Version{}, 0, badChunk(s)
		}
		counts[i], rest = count, after
	}
	var parts [4]string
	for i, size := range counts[1:] {
		if size > len(rest) {
			return Key{}, Version{}, 0, badChunk(s)
		}
		parts[i], rest = rest[:size], rest[size:]
	}
	k, err = New(parts[0], parts[1], rest)
	if err != nil {
		return Key{}, Version{}, 0, fmt.Errorf("chunk key %q: %w", s, err)
	}
	return k, Version{ETag: parts[2], Write: parts[3]}, counts[0], nil
}

// parseCount reads a number that is not negative, written as strconv writes it.
func parseCount(s string) (int, bool) {
	if s == "" || s[0] == '0' && len(s) > 1 || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

func badChunk(s string) error {
	return fmt.Errorf("%w: %q is not a chunk key", ErrBadKey, s)
}
