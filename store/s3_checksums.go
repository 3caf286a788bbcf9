package store

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// checksums keep whether the headers x-amz-checksum-* are sent. Not every S3
// takes them, and those that do not refuse a write with an answer of no fixed
// form. So the first write that is refused in such a way is sent again without
// them, and if that is taken they are left out from then on. The signature
// covers the bytes by their SHA-256 then.
type checksums struct {
	state atomic.Int32
	notes *notes
}

const (
	untried int32 = iota
	taken
	suspected // by a write that was refused and is being sent again
	refused
)

// sent reports whether the headers are sent.
func (c *checksums) sent() bool {
	state := c.state.Load()
	return state == untried || state == taken
}

// proved records that a write succeeded, with the headers or without.
func (c *checksums) proved(with bool) {
	if with {
		c.state.CompareAndSwap(untried, taken)
	}
}

// blamed reports whether the headers may be why a request was refused with err,
// and if so leaves them out for now.
func (c *checksums) blamed(op string, err error) bool {
	f, ok := errors.AsType[*failure](err)
	if !ok || op != "put" && op != "part" && op != "begin" {
		return false
	}
	if f.status != http.StatusBadRequest && f.status != http.StatusNotImplemented {
		return false
	}
	switch f.code {
	case "InvalidArgument", "InvalidRequest", "NotImplemented", "BadRequest", "UnsupportedArgument", "UnsupportedHeader",
		"InvalidHeader", "InvalidHeaderValue", "":
	default:
		if words := strings.ToLower(f.words); !strings.Contains(words, "x-amz-checksum") && !strings.Contains(words, "unsupported header") {
			return false
		}
	}
	return c.state.CompareAndSwap(untried, suspected)
}

// tried records the outcome of the request that was sent again without the headers,
// after blamed.
func (c *checksums) tried(err error) {
	if err != nil {
		c.state.CompareAndSwap(suspected, untried)
		return
	}
	if c.state.CompareAndSwap(suspected, refused) {
		c.notes.log.Warn().Msg("s3 refuses checksum headers: writes go without them, their bytes covered by the signature")
	}
}
