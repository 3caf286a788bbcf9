package store

import (
	"context"
	"time"
)

// MinPart is the least that every part of an upload but the last must have,
// MaxParts the most parts that it may have. They are S3's own limits.
const (
	MinPart  = 5 << 20
	MaxParts = 10_000
)

// Upload names one upload in parts.
type Upload struct {
	Name, ID string
	// Began is when the upload was begun.
	Began time.Time
	// Head is what Complete will return, without Version and Size. An upload
	// out of Abandoned has none: it is there to be aborted.
	Head Head
}

// Part is one stored part of an upload.
type Part struct {
	Number int
	// Tag is the store's name for the bytes of the part.
	Tag string
	// Size is in bytes.
	Size int64
	// Checksum is the CRC-32C of the bytes as S3 writes it, in base64; empty if
	// the store takes no checksums.
	Checksum string
}

// Uploads writes objects too large for one request, in parts. A stored part is
// held until its upload is completed or aborted, and costs space until then.
//
// An upload that is not there is ErrNotFound: it was completed, aborted, or
// forgotten by the store, as lifecycle rules and restarts of the embedded
// server do. Other errors are as in Store.
type Uploads interface {
	// Begin starts an upload of an object with this head. Its ContentType,
	// Digest, Writer, Modified and Meta are kept with the object as in Put,
	// but an empty Digest stays empty, and nobody compares one with the bytes:
	// the caller does, before Complete. Nothing is visible until Complete.
	// ErrUnavailable may leave an upload behind, which Abandoned will list.
	Begin(ctx context.Context, name string, h Head) (Upload, error)
	// Part stores part n, 1 to MaxParts, of MinPart bytes at least if it is not
	// the last. Parts may be stored in any order and at once; the same number
	// again replaces the part. S3 itself checks that the bytes arrive as they
	// are. It is tried up to three times. The body is not kept: when Part has
	// returned, whatever it says, nobody reads it any more.
	Part(ctx context.Context, u Upload, n int, body []byte) (Part, error)
	// Complete makes the object of these parts, in ascending order of their
	// numbers, visible whole, and returns its head. The conditions, and which
	// errors leave the outcome unknown, are as in Put. It is tried once.
	//
	// After any other error nothing was written and the upload should be
	// aborted: some stores have lost its parts by then. After an unknown
	// outcome it should be left alone. The store may still be completing it,
	// and not every S3 orders an abort that arrives meanwhile. What is left of
	// it then is found by Abandoned.
	Complete(ctx context.Context, u Upload, parts []Part, c Conditions) (Head, error)
	// Abort gives the upload's parts back; aborting what is not there is no
	// error. A part that is still on its way may stay behind, so abort when no
	// Part runs any more. It does no harm to an object of the same name
	// where Traits say that it keeps it; elsewhere nobody should abort.
	Abort(ctx context.Context, u Upload) error
	// Abandoned lists the uploads of names that begin with prefix which were
	// begun before a time and neither completed nor aborted. Choose a time
	// that no upload at work can have, and that is further back than the
	// outcome of any Complete can be unknown.
	Abandoned(ctx context.Context, prefix string, before time.Time) ([]Upload, error)
}
