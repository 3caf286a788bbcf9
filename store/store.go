// Package store is the contract of the durable store, and its implementation on S3.
//
// A name is the place of an object in the store, for example
// "v1/acme/objects/DAX 20220104"; package keys makes names. The contract is
// held by one conformance suite, store/storetest, which runs on every backend.
// Everything here is safe for concurrent use.
package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Callers decide by these. Every error of a Store wraps one of them, or is the
// context's own error.
var (
	// ErrNotFound says that there is no object of that name, or no upload.
	ErrNotFound = errors.New("no such object")
	// ErrPrecondition says that the object is not the one that the caller
	// named by its version, or that there is one where none should be.
	ErrPrecondition = errors.New("precondition failed")
	// ErrConflict says that a concurrent write of the same name won.
	ErrConflict = errors.New("conflicting write")
	// ErrUnavailable says that the store did not answer, or answered that it
	// cannot serve now. Another try later may succeed.
	ErrUnavailable = errors.New("store unavailable")
	// ErrNotWritten comes beside ErrUnavailable and says that surely nothing was
	// written: the store was not reached, or it refused the request.
	ErrNotWritten = errors.New("nothing was written")
	// ErrArchived is an ErrNotFound: there is an object, but a rule of the bucket
	// has moved its bytes to where they cannot be read. A Put replaces it.
	ErrArchived = fmt.Errorf("%w: it was moved to an archive", ErrNotFound)
	// ErrUnexpected says that the store answered something that no try later
	// will mend: refused credentials, a missing bucket, an unreadable answer.
	ErrUnexpected = errors.New("unexpected answer of the store")
	// ErrDenied is an ErrUnexpected: the credentials, or a policy of the bucket, do
	// not allow a write. The policy may demand that writes ask for encryption.
	ErrDenied = fmt.Errorf("%w: the write is not allowed", ErrUnexpected)
	// ErrMetadata says that a write was refused, since a store cannot keep its head: a name in Meta that is not a lower-case
	// header name or begins with "larder-", more than 2 KB of metadata, a
	// content type or digest that is none. Or the store itself said so of what
	// it was sent: some take less.
	ErrMetadata = errors.New("metadata cannot be kept")
	// ErrName says that a store takes no name as long as this one: some take fewer bytes
	// than the 1,024 of S3.
	ErrName = errors.New("the name is too long for the store")
)

// Expired is an ErrNotFound: there was an object, whose moment has come.
type Expired struct{ At time.Time }

// Error says when.
func (e Expired) Error() string { return "it expired at " + e.At.UTC().Format(time.RFC3339) }

// Unwrap returns ErrNotFound.
func (e Expired) Unwrap() error { return ErrNotFound }

// Later comes beside ErrUnavailable where the store said how long to stay away.
type Later struct{ After time.Duration }

// Error says how long.
func (l Later) Error() string { return "try again in " + l.After.String() }

// Head is what the store knows of an object beside its bytes.
type Head struct {
	// Version is S3's ETag of the object, without quotes. Two contents may have
	// the same: that of a single put is an MD5, and an object that other tools
	// put there may have none. See WriteName.
	Version string
	// Write is a random name that each write of Larder has: the one that it was given
	// from NewWriteName, or else one that Put or Begin draws.
	// It is empty for what was written by other means, or by older nodes.
	Write string `json:",omitempty"`
	// Claim is the name of the claim that the object was built under; empty without.
	// It is like the name of a write.
	Claim string `json:",omitempty"`
	// Size is in bytes.
	Size        int64
	ContentType string
	// Digest is the SHA-256 of the bytes, in lower-case hex; empty if the
	// object was written by other means than Larder.
	Digest string
	// Piece is how long the pieces are, in bytes, whose digests are kept beside the
	// object as Sums; 0 if there is no such list.
	Piece int64 `json:",omitempty"`
	// Writer is the user who wrote the object, if known.
	Writer string
	// Modified is the time of the write, in whole seconds, UTC.
	Modified time.Time
	// Expires is the moment from which on there is no such object any more, in whole
	// seconds, UTC; zero if there is none. Nothing of this package acts on it.
	Expires time.Time `json:",omitzero"`
	// Meta is the metadata that the writer gave, by lower-case name.
	Meta map[string]string
	// Sum is the SHA-256 of the bytes that Get or GetRange read with this head, if
	// there is a digest of them to compare it with: it costs less while they arrive.
	Sum *[sha256.Size]byte `json:"-"`
}

// WriteName tells the writes of one name from each other, together with Version.
// The bytes of (name, Version, WriteName) never change. Without the name of a
// write it is all else that S3 knows of the object.
func (h Head) WriteName() string {
	if h.Write != "" {
		return h.Write
	}
	b := append(make([]byte, 0, 128), h.Digest...)
	b = strconv.AppendInt(append(b, ','), h.Size, 10)
	return string(strconv.AppendInt(append(b, ','), h.Modified.Unix(), 10))
}

// Is reports whether the object is the one of this version and name of a write.
// A node that does not know the names of writes may have said the other one.
func (h Head) Is(version, writeName string) bool {
	if h.Version != version {
		return false
	}
	if h.WriteName() == writeName {
		return true
	}
	h.Write = ""
	return h.WriteName() == writeName
}

// Conditions of a write. At most one is set. They are about the ETag of the bytes
// and not about a write: where the ETag is an MD5, a second write of the same
// bytes, even with other metadata, is the same version.
type Conditions struct {
	// IfMatch lets the write happen only if this version is there.
	IfMatch string
	// IfAbsent lets the write happen only if nothing is there.
	IfAbsent bool
}

// Write is an object to be put.
type Write struct {
	// Head's ContentType, Digest, Writer, Modified, Expires, Write and Meta are kept
	// with the object. Size is len(Body), Version is the store's to give.
	Head
	Body []byte
	Conditions
}

// Entry is one object of a listing.
type Entry struct {
	Name     string
	Version  string
	Size     int64
	Modified time.Time
	// Expires is the object's, if that is known: S3's listings do not say it.
	Expires time.Time
}

// Alloc returns a buffer of n bytes. Its owner accounts for the memory, so it may
// block, or fail.
type Alloc func(n int64) ([]byte, error)

// Store keeps objects durably. When a write returns nil the object is on
// stable storage and every later call, anywhere, sees it or a newer one.
type Store interface {
	// Get reads the first limit bytes of an object, all of it if it is
	// smaller, together with its head, in one request; a foreign object takes a
	// second look. Head.Size is the size
	// of the whole object. An object of no bytes is not an error.
	// Absence is ErrNotFound.
	//
	// alloc is asked for the buffer once its length is known, before the bytes
	// are read, and may wait or fail; after a try that failed it may be asked
	// again. Its error is returned. nil makes a new buffer.
	Get(ctx context.Context, name string, limit int64, alloc Alloc) (Head, []byte, error)
	// GetRange reads the n bytes from off on of an object of this ETag, and the
	// head that S3 gives with them, so that a caller that knows the write can compare.
	// If no such object is there any longer, ErrPrecondition. An empty version is an
	// object without ETag. A range that the object does not have in full is
	// ErrUnexpected; never fewer bytes without an error.
	GetRange(ctx context.Context, name, version string, off, n int64) (Head, []byte, error)
	// Head is Get without the bytes.
	Head(ctx context.Context, name string) (Head, error)
	// Put writes an object whole and returns its head. A failed condition is
	// ErrPrecondition. ErrUnavailable without ErrNotWritten, and
	// context errors, leave the outcome unknown: the write may have happened,
	// or may still happen. All other errors mean that nothing was written. The body is not kept.
	Put(ctx context.Context, name string, w Write) (Head, error)
	// Delete removes an object; removing what is not there is no error. The
	// outcome is unknown as for Put. It takes no condition, since some
	// implementations of S3 ignore one silently.
	Delete(ctx context.Context, name string) error
	// DeleteMany is Delete of up to MaxDeleted different names, and returns the error of
	// each. What is refused for now is tried again.
	DeleteMany(ctx context.Context, names []string) []error
	// List returns up to limit entries (1 to 1,000) whose names begin with
	// prefix, which is UTF-8 like every name, and sort after the name after,
	// in the order of their bytes, and whether there are more.
	List(ctx context.Context, prefix, after string, limit int) (entries []Entry, more bool, err error)
	// Ping reports whether the store answers, the bucket is there, and what is
	// in it may be listed.
	Ping(ctx context.Context) error
}
