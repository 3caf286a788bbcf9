package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"larder/fill/chunks"
	"larder/store"
)

const (
	metaPrefix = "Larder-Meta-"
	// autoLength is the size up to which net/http finds out a body's length by
	// itself ("a few KB", says http.ResponseWriter).
	autoLength = 1 << 10
	// ndjson is the type of lines of JSON.
	ndjson = "application/x-ndjson"
)

// wantsLines reports whether a request asks for lines of JSON, sent as they come.
func wantsLines(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h.Values("Accept"), ",")), ndjson)
}

// setHeaders describes an object, whose date is left out if it is zero. Without a
// source, no bytes were read.
//
// For a small object the header costs more than the bytes, so its values are
// slices of one array, and those that are made here parts of one string. A map of
// up to eight entries is one allocation, and net/http makes a copy of it.
func setHeaders(h http.Header, o store.Head, modified time.Time, source chunks.Source) {
	values := make([]string, 0, 11)
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	etag, date, digest := validators(o, modified)
	if o.Version != "" { // else nothing tells it from what other tools put there before or after
		set("Etag", etag)
	}
	if date != "" {
		set("Last-Modified", date)
	}
	set("Accept-Ranges", "bytes")
	set("Content-Type", o.ContentType)
	set("Cache-Control", "private, no-cache")
	if !o.Expires.IsZero() {
		set("Expires", o.Expires.UTC().Format(http.TimeFormat))
	}
	if source != "" {
		set("Cache-Status", cacheStatus(source))
	}
	if digest != "" {
		set("Repr-Digest", digest)
	}
	if o.Writer != "" {
		set("Larder-Writer", headerValue(o.Writer))
	}
	if !inert(o.ContentType) { // no browser runs what a researcher stored
		set("X-Content-Type-Options", "nosniff")
		set("Content-Security-Policy", "sandbox")
	}
	for name, v := range o.Meta {
		set(textproto.CanonicalMIMEHeaderKey(metaPrefix+name), headerValue(v))
	}
}

// inert says that a browser only saves what has this type.
func inert(contentType string) bool {
	return contentType == "application/octet-stream" || contentType == "application/vnd.larder.frame"
}

// validators are what tells a version from others: its Etag, Last-Modified and,
// if it is known, Repr-Digest (RFC 9530).
func validators(o store.Head, modified time.Time) (etag, date, digest string) {
	var buf [192]byte
	b := append(buf[:0], '"')
	b = append(b, o.Version...)
	b = append(b, '"')
	etagEnd := len(b)
	if !modified.IsZero() {
		b = modified.UTC().AppendFormat(b, http.TimeFormat)
	}
	dateEnd := len(b)
	all := string(appendDigest(b, o.Digest))
	return all[:etagEnd], all[etagEnd:dateEnd], all[dateEnd:]
}

// appendDigest appends the value of Repr-Digest (RFC 9530), unless the digest is none.
func appendDigest(b []byte, digest string) []byte {
	var text [64]byte
	var sum [32]byte
	if len(digest) != len(text) {
		return b
	}
	copy(text[:], digest)
	if _, err := hex.Decode(sum[:], text[:]); err != nil {
		return b
	}
	b = append(b, "sha-256=:"...)
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	return append(b, ':')
}

// cacheStatus is the field of RFC 9211.
func cacheStatus(s chunks.Source) string {
	switch s {
	case chunks.Memory, chunks.Hot:
		return "larder; hit; detail=memory"
	case chunks.Peer:
		return "larder; hit; detail=peer"
	case chunks.Disk:
		return "larder; hit; detail=disk"
	default:
		return "larder; fwd=miss; detail=s3"
	}
}

// headerValue makes a value safe in a header line: metadata that other tools
// wrote into the bucket may hold anything.
func headerValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
