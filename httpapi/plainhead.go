package httpapi

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"larder/fill"
	"larder/store"
)

// answer is an answer of the front that is being put together. It is used again.
type answer struct {
	head  []byte
	name  []byte   // of a key, without its escapes
	metas []string // names of metadata

	// Room for them, which most do with.
	headRoom [2<<10 + copied]byte
	nameRoom [maxPlain]byte
	metaRoom [32]string
}

// reset empties an answer.
func (a *answer) reset() {
	a.head, a.name, a.metas = a.headRoom[:0], a.nameRoom[:0], a.metaRoom[:0]
}

const (
	// idLength is the length of a request's ID, as rand.Text makes them, of these
	// characters.
	idLength   = 26
	idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// describe makes the header of an answer with a whole object, as setHeaders and net/http
// make it, byte for byte. It is false if the object has something that net/http would
// not send as it is.
func (a *answer) describe(r fill.Ready, now time.Time, date []byte) bool {
	o := r.Head
	if !a.sortMetas(o) || !clean(o.Version) || !clean(o.ContentType) || !clean(o.Writer) {
		return false
	}
	b := append(a.head, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nCache-Control: private, no-cache\r\nCache-Status: "...)
	b = append(append(b, cacheStatus(r.Source)...), "\r\n"...)
	if o.Size > autoLength {
		b = appendLength(b, o.Size)
	}
	isInert := inert(o.ContentType)
	if !isInert {
		b = append(b, "Content-Security-Policy: sandbox\r\n"...)
	}
	b = append(append(b, "Content-Type: "...), o.ContentType...)
	if o.Version != "" {
		b = append(append(append(b, "\r\nEtag: \""...), o.Version...), '"')
	}
	if !o.Expires.IsZero() {
		b = o.Expires.UTC().AppendFormat(append(b, "\r\nExpires: "...), http.TimeFormat)
	}
	for _, name := range a.metas {
		b = appendCanonical(append(b, "\r\n"+metaPrefix...), name)
		b = append(append(b, ": "...), o.Meta[name]...)
	}
	b = appendID(append(b, "\r\n"+requestHeader+": "...))
	if o.Writer != "" {
		b = append(append(b, "\r\nLarder-Writer: "...), o.Writer...)
	}
	if modified := lastModified(o, now); !modified.IsZero() {
		b = modified.UTC().AppendFormat(append(b, "\r\nLast-Modified: "...), http.TimeFormat)
	}
	const digestName = "\r\nRepr-Digest: "
	withName := append(b, digestName...)
	if withDigest := appendDigest(withName, o.Digest); len(withDigest) > len(withName) {
		b = withDigest
	}
	if !isInert {
		b = append(b, "\r\nX-Content-Type-Options: nosniff"...)
	}
	b = append(append(append(b, "\r\nDate: "...), date...), "\r\n"...)
	if o.Size <= autoLength { // net/http finds it out, and adds it last
		b = appendLength(b, o.Size)
	}
	a.head = append(b, "\r\n"...)
	return true
}

func appendLength(b []byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, "Content-Length: "...), n, 10), "\r\n"...)
}

// appendID appends a new ID of a request.
func appendID(b []byte) []byte {
	at := len(b)
	b = append(b, idAlphabet[:idLength]...)
	id := b[at:]
	_, _ = rand.Read(id) // it never fails
	for i := range id {
		id[i] = idAlphabet[id[i]%byte(len(idAlphabet))]
	}
	return b
}

// sortMetas sorts the names of an object's metadata as net/http would. It is false if
// there is one that would not be sent as it is.
func (a *answer) sortMetas(o store.Head) bool {
	for name, value := range o.Meta {
		if !isPlainName(name) || !clean(value) {
			return false
		}
		a.metas = append(a.metas, name)
	}
	slices.Sort(a.metas)
	return true
}

// isPlainName reports whether a name has nothing but small letters, digits and hyphens,
// whose order is the same once letters are capitals.
func isPlainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != ""
}

// appendCanonical appends a name that follows a hyphen, in the form of header fields.
func appendCanonical(b []byte, name string) []byte {
	first := true
	for i := range len(name) {
		c := name[i]
		if first && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b = append(b, c)
		first = c == '-'
	}
	return b
}

// clean reports whether net/http sends a text as it is.
func clean(s string) bool {
	if s == "" {
		return true
	}
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	return s[0] != ' ' && s[len(s)-1] != ' ' && (ascii || utf8.ValidString(s))
}
