package store

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// How a head is kept as S3 user metadata (headers x-amz-meta-NAME):
//
//	larder-sha256    Digest
//	larder-writer    Writer
//	larder-modified  Modified, as unix seconds
//	larder-write     Write
//	larder-piece     Piece
//	larder-claim     Claim
//	larder-expires   Expires, as unix seconds
//	larder-type      ContentType, if it is the default and the server was not seen to keep that
//	larder-encoding  "percent" if the values are encoded; else it is absent
//	anything else    Meta, names as they are
//
// S3 carries printable ASCII safely and nothing else: what is beyond it is
// lost or changed on the way by one server or another. If the writer or any
// value of Meta needs it, then that object is marked with larder-encoding, and
// in all of its values every byte outside plainBytes is written as %XX, and an
// empty value as a lone %. Without the mark a value is what it is, percent
// signs included: so what other tools wrote reads as they wrote it, and the
// usual value can be read in any of them.
//
// What other tools wrote under these names and Larder never would (a digest that
// is none, a time that no HTTP date can state) is taken as not there.
const (
	ownPrefix    = "larder-"
	ownDigest    = ownPrefix + "sha256"
	ownWriter    = ownPrefix + "writer"
	ownModified  = ownPrefix + "modified"
	ownWrite     = ownPrefix + "write"
	ownPiece     = ownPrefix + "piece"
	ownClaim     = ownPrefix + "claim"
	ownExpires   = ownPrefix + "expires"
	ownType      = ownPrefix + "type"
	ownEncoding  = ownPrefix + "encoding"
	encodingName = "percent"

	// metadataLimit is S3's own: bytes in all names and values together. AWS
	// counts the names without the prefix that they have as headers, MinIO with
	// it. Counted with it, metadata fits every server.
	metadataLimit  = 2 << 10
	metadataHeader = "x-amz-meta-"

	// lastModified is the end of the year 9999, the last that an HTTP date can state.
	lastModified = 253402300799

	writeNameLen   = 26
	writeNameBytes = "abcdefghijklmnopqrstuvwxyz234567"

	nameBytes  = "abcdefghijklmnopqrstuvwxyz0123456789!#$&'*+-.^_`|~"
	plainBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~:/@ "
	hexDigits  = "0123456789ABCDEF"
)

// toMetadata is the user metadata of a head for a server of these traits. Its error
// is ErrMetadata.
func toMetadata(h Head, t Traits) (map[string]string, error) {
	values := make(map[string]string, len(h.Meta)+8)
	for name, value := range h.Meta {
		if name == "" || strings.Trim(name, nameBytes) != "" {
			return nil, fmt.Errorf("%w: the name %q is not a lower-case header name", ErrMetadata, name)
		}
		if strings.HasPrefix(name, ownPrefix) {
			return nil, fmt.Errorf("%w: the name %q is reserved", ErrMetadata, name)
		}
		values[name] = value
	}
	if h.Writer != "" {
		values[ownWriter] = h.Writer
	}
	encodeAll(values)
	if h.Digest != "" {
		values[ownDigest] = h.Digest
	}
	if h.Write != "" {
		values[ownWrite] = h.Write
	}
	if h.Claim != "" {
		values[ownClaim] = h.Claim
	}
	if h.Piece > 0 {
		values[ownPiece] = strconv.FormatInt(h.Piece, 10)
	}
	if !h.Modified.IsZero() {
		values[ownModified] = strconv.FormatInt(h.Modified.Unix(), 10)
	}
	if !h.Expires.IsZero() {
		values[ownExpires] = strconv.FormatInt(h.Expires.Unix(), 10)
	}
	if h.ContentType == defaultContentType && !t.TypeKept {
		values[ownType] = h.ContentType
	}
	size := 0
	for name, value := range values {
		size += len(metadataHeader) + len(name) + len(value)
	}
	if size > metadataLimit {
		return nil, fmt.Errorf("%w: it has %d bytes, Larder's own and %d more for each name included, and S3 takes %d",
			ErrMetadata, size, len(metadataHeader), metadataLimit)
	}
	return values, nil
}

// fromMetadata fills in what the user metadata holds. It changes values.
func fromMetadata(h *Head, values map[string]string) {
	if values[ownEncoding] == encodingName {
		for name, value := range values {
			values[name] = decode(value)
		}
	}
	if digest := values[ownDigest]; isDigest(digest) {
		h.Digest = digest
	}
	if name := values[ownWrite]; IsWriteName(name) {
		h.Write = name
	}
	if name := values[ownClaim]; IsWriteName(name) {
		h.Claim = name
	}
	if piece, err := strconv.ParseInt(values[ownPiece], 10, 64); err == nil && piece > 0 {
		h.Piece = piece
	}
	h.Writer = values[ownWriter]
	if values[ownType] == defaultContentType {
		h.ContentType = defaultContentType
	}
	if modified, ok := moment(values[ownModified]); ok {
		h.Modified = modified
	}
	h.Expires, _ = moment(values[ownExpires])
	maps.DeleteFunc(values, func(name, _ string) bool { return strings.HasPrefix(name, ownPrefix) })
	if len(values) > 0 {
		h.Meta = values
	}
}

// moment is a time as Larder writes it.
func moment(value string) (time.Time, bool) {
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 || seconds > lastModified {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0).UTC(), true
}

// isDigest reports whether a value is a SHA-256 as Larder writes it.
func isDigest(value string) bool {
	return len(value) == 2*sha256.Size && strings.Trim(value, "0123456789abcdef") == ""
}

// IsWriteName reports whether a text is a name that Put or Begin gave to a write.
func IsWriteName(s string) bool {
	return len(s) == writeNameLen && strings.Trim(s, writeNameBytes) == ""
}

// encodeAll encodes the values and marks them, if any of them needs it.
func encodeAll(values map[string]string) {
	needed := false
	for _, value := range values {
		needed = needed || !isPlain(value)
	}
	if !needed {
		return
	}
	for name, value := range values {
		values[name] = encode(value)
	}
	values[ownEncoding] = encodingName
}

// isPlain reports whether every S3 and every proxy gives a value back as it is.
// Spaces at the ends and in a row are not safe in headers, "=?" begins an
// encoded word of RFC 2047, and the SDK leaves out what is empty.
func isPlain(value string) bool {
	if value == "" || strings.TrimSpace(value) != value || strings.Contains(value, "  ") || strings.Contains(value, "=?") {
		return false
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

func encode(value string) string {
	if value == "" {
		return "%"
	}
	var out strings.Builder
	for i := range len(value) {
		c := value[i]
		outer := i == 0 || i == len(value)-1 || value[i-1] == ' '
		if strings.IndexByte(plainBytes, c) >= 0 && (c != ' ' || !outer) {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(hexDigits[c>>4])
		out.WriteByte(hexDigits[c&15])
	}
	return out.String()
}

// decode is encode's reverse. What encode does not make stays as it is.
func decode(value string) string {
	if value == "%" {
		return ""
	}
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if b, err := strconv.ParseUint(value[i+1:i+3], 16, 8); err == nil {
				out.WriteByte(byte(b))
				i += 2
				continue
			}
		}
		out.WriteByte(value[i])
	}
	return out.String()
}
