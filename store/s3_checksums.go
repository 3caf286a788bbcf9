package store

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// checksums keep whether the headers x-amz-checksum-* are sent. Not every S3
// takes them, and those that do not refuse a write with an answer of no fixed
// form. So a write that is refused in such a way is sent again without
// them, and if that is taken they are left out from then on. The signature
// covers the bytes by their SHA-256 then. Some servers take them with one
// operation and not with another.
type checksums struct {
	put, begin, part, complete checksum // complete names those of the parts in its body
	notes                      *notes
}

// checksum is what is known of one operation.
type checksum struct{ state atomic.Int32 }

// of is what is known of an operation; nil if that has no such headers.
func (c *checksums) of(op string) *checksum {
	switch op {
	case "put":
		return &c.put
	case "begin":
		return &c.begin
	case "part":
		return &c.part
	case "complete":
		return &c.complete
	}
	return nil
}

// leaveOut leaves the headers out from the start.
func (c *checksums) leaveOut() {
	for _, op := range []*checksum{&c.put, &c.begin, &c.part, &c.complete} {
		op.state.Store(refused)
	}
}

const (
	untried int32 = iota
	taken
	suspected // by a write that was refused and is being sent again
	refused
)

// inUploads reports whether the headers are sent with uploads: the kind of the parts'
// checksums is said as the upload begins.
func (c *checksums) inUploads() bool { return c.begin.sent() && c.part.sent() }

// sentWith reports whether the headers are sent with an operation.
func (c *checksums) sentWith(op string) bool {
	switch op {
	case "put":
		return c.put.sent()
	case "complete":
		return c.complete.sent()
	}
	return c.of(op) != nil && c.inUploads()
}

// sent reports whether the headers may be sent.
func (c *checksum) sent() bool {
	state := c.state.Load()
	return state == untried || state == taken
}

// proved records that a write succeeded, with the headers or without.
func (c *checksum) proved(with bool) {
	if with {
		c.state.CompareAndSwap(untried, taken)
	}
}

// blamed reports whether the headers may be why a request that bore them was refused
// with err, and if so leaves them out for now. Of several requests at once, all are
// sent again.
func (c *checksums) blamed(op string, err error) bool {
	f, ok := errors.AsType[*failure](err)
	if !ok || !f.mayBeForChecksums(op) {
		return false
	}
	of := c.of(op)
	// A server that has taken them may be another by now, or have a proxy before it. Its
	// 403 is rather for credentials that have changed.
	return of.state.CompareAndSwap(untried, suspected) ||
		f.status != http.StatusForbidden && of.state.CompareAndSwap(taken, suspected) || !of.sent()
}

// mayBeForChecksums reports whether a server, or a proxy before it that drops the
// headers which were signed, may have answered so because of the headers.
func (f *failure) mayBeForChecksums(op string) bool {
	switch {
	case op == "complete" && f.code == "MalformedXML": // they are in its body
		return true
	case op == "complete" && f.status != http.StatusBadRequest: // which is for its conditions
		return false
	}
	if f.status == http.StatusForbidden {
		return f.code == "SignatureDoesNotMatch"
	}
	if f.status != http.StatusBadRequest && f.status != http.StatusNotImplemented {
		return false
	}
	switch f.code {
	case "InvalidArgument", "InvalidRequest", "NotImplemented", "BadRequest", "UnsupportedArgument", "UnsupportedHeader",
		"InvalidHeader", "InvalidHeaderValue", "":
		return true
	}
	words := strings.ToLower(f.words)
	return strings.Contains(words, "x-amz-checksum") || strings.Contains(words, "unsupported header")
}

// tried records the outcome of the request that was sent again without the headers,
// after blamed.
func (c *checksums) tried(op string, err error) {
	of := c.of(op)
	if err != nil {
		of.state.CompareAndSwap(suspected, untried)
		return
	}
	if of.state.CompareAndSwap(suspected, refused) {
		c.notes.log.Warn().Str("op", op).Msg("s3 refuses checksum headers: writes go without them, their bytes covered by the signature")
	}
}
