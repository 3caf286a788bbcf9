package keys

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The encoding of a name. It goes from left to right, one character at a time,
// and what it writes depends only on what came before; so the encoding of every
// prefix of a name is a prefix of the name's encoding, and listing by prefix is
// one listing of the store.
//
//   - A character that S3's guide tells to avoid in object keys is written as
//     %XX for each of its bytes, in upper case, and so are '/', the characters
//     that XML cannot hold or breaks lines at, and a '.' that begins a segment.
//     '|' alone is kept although the guide lists it: every strategy key has it,
//     and a person should be able to read those.
//   - When a segment has 200 bytes or more and a character follows, "~/" goes
//     before it, since file-backed servers take 255 bytes in a segment. A '~'
//     in a name is always escaped, so such a folder ends in '~' and an object
//     never does: no object stands where another one needs a folder.
const (
	// PrefixReserve is how many bytes of a name in the bucket are left to the
	// operator's prefix.
	PrefixReserve = 127

	// Root is what every place begins with.
	Root = layout + "/"

	// layout begins every place, so that another encoding can live beside it.
	layout = "v1"
	// segmentFull is the length from which on a segment is not continued. A
	// segment is at most 8 bytes longer (a character of 9 bytes, such as
	// %E2%80%A8, may begin at 199), plus the '~'. The rest up to 255 is for
	// servers that add suffixes of their own.
	segmentFull = 200
	// maxPlace is the longest place: the 1,024 bytes that S3 takes, less those
	// for the operator's prefix and the '/' after it.
	maxPlace = 1024 - PrefixReserve - 1

	upperHex = "0123456789ABCDEF"
)

// sumsLayout begins the places of lists of digests.
const sumsLayout = layout + "-sums"

// SumsRoot is what the places of all lists of digests begin with. No key has
// such a place.
const SumsRoot = sumsLayout + "/"

// Sums returns where the store keeps the digests of the chunks of what one
// write put there for an org: v1-sums/ORG/WRITE.
func Sums(org, write string) string { return SumsRoot + org + "/" + write }

// usageSpace stands in a place where a key has its service.
const usageSpace = "usage"

// Usage returns where the store keeps something of what an org used and saved:
// v1/ORG/usage/NAME. No key has such a place, since there is no such service.
func Usage(org, name string) string { return Root + org + "/" + usageSpace + "/" + name }

// Place returns where the store keeps the object, below the operator's prefix:
// v1/ORG/SERVICE/ENCODED-NAME. Different keys have different places.
func (k Key) Place() string {
	var buf [maxPlace]byte
	return string(k.appendPlace(buf[:0]))
}

// FromPlace is the inverse of Place. A text that Place does not return for any
// key is an error, even if it could be decoded; listings leave such names out.
func FromPlace(place string) (Key, error) {
	rest, ok := strings.CutPrefix(place, layout+"/")
	if !ok {
		return Key{}, fmt.Errorf("%w: place %q does not begin with %q", ErrBadKey, place, layout+"/")
	}
	org, rest, _ := strings.Cut(rest, "/")
	service, encoded, ok := strings.Cut(rest, "/")
	if !ok {
		return Key{}, fmt.Errorf("%w: place %q is not %s/ORG/SERVICE/NAME", ErrBadKey, place, layout)
	}
	k, err := New(org, service, decode(encoded))
	if err != nil {
		return Key{}, fmt.Errorf("place %q: %w", place, err)
	}
	var buf [maxPlace]byte
	if string(k.appendPlace(buf[:0])) != place {
		return Key{}, fmt.Errorf("%w: place %q is not canonical, want %q", ErrBadKey, place, k.Place())
	}
	return k, nil
}

// PlacePrefix returns the text that begins the places of exactly the keys of
// (org, service) whose names begin with prefix. The prefix may be empty and may
// end anywhere between two characters, also within a strategy key.
func PlacePrefix(org, service, prefix string) (string, error) {
	if err := validSpace(org, service); err != nil {
		return "", fmt.Errorf("prefix: %w", err)
	}
	if err := validText(prefix); err != nil {
		return "", fmt.Errorf("prefix: %w", err)
	}
	k := Key{Org: org, Service: service, Name: prefix}
	if err := k.fits(); err != nil {
		return "", fmt.Errorf("prefix: %w", err)
	}
	return k.Place(), nil
}

// fits checks that S3 can take the key's place.
func (k Key) fits() error {
	// Three bytes for each, and two where a segment is full.
	if most := len(layout) + len(k.Org) + len(k.Service) + 3 + 3*len(k.Name) + 2*(3*len(k.Name)/segmentFull); most <= maxPlace {
		return nil
	}
	var buf [maxPlace]byte
	if n := len(k.appendPlace(buf[:0])); n > maxPlace {
		return fmt.Errorf("%w: its place in the bucket has %d bytes, want at most %d: "+
			`shorten it, or use fewer of the characters %s, which take three bytes each`,
			ErrBadKey, n, maxPlace, escapedASCII)
	}
	return nil
}

func (k Key) appendPlace(dst []byte) []byte {
	dst = append(dst, layout...)
	dst = append(dst, '/')
	dst = append(dst, k.Org...)
	dst = append(dst, '/')
	dst = append(dst, k.Service...)
	dst = append(dst, '/')
	return appendEncoded(dst, k.Name)
}

// appendEncoded appends the encoding of the name. Bytes that are not UTF-8 are
// escaped, so that even a key that New would refuse has a place of its own.
func appendEncoded(dst []byte, name string) []byte {
	segment := len(dst)
	for i := 0; i < len(name); {
		if len(dst)-segment >= segmentFull {
			dst = append(dst, '~', '/')
			segment = len(dst)
		}
		c := name[i]
		if c < utf8.RuneSelf && !escapedByte(c) && (c != '.' || len(dst) > segment) {
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(name[i:])
		if c < utf8.RuneSelf || escapedRune(r, size) {
			for _, c := range []byte(name[i : i+size]) {
				dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
			}
		} else {
			dst = append(dst, name[i:i+size]...)
		}
		i += size
	}
	return dst
}

// escapedASCII are the printable characters below U+0080 that are always
// escaped: those that the Amazon S3 User Guide lists under "Characters to
// avoid" but '|', and the separator of folders.
const escapedASCII = `"#%/<>[\]^` + "`{}~"

// The same characters as sets of bits: those below 64, and those from 64 on.
const (
	escapedLow  uint64 = 1<<'"' | 1<<'#' | 1<<'%' | 1<<'/' | 1<<'<' | 1<<'>'
	escapedHigh uint64 = 1<<('['-64) | 1<<('\\'-64) | 1<<(']'-64) | 1<<('^'-64) |
		1<<('`'-64) | 1<<('{'-64) | 1<<('}'-64) | 1<<('~'-64) | 1<<(0x7f-64)
	escapedControls uint64 = 1<<' ' - 1
)

// escapedByte reports whether a character below U+0080 is always escaped.
func escapedByte(c byte) bool {
	if c < 64 {
		return (escapedLow|escapedControls)>>c&1 != 0
	}
	return escapedHigh>>(c-64)&1 != 0
}

// escapedRune reports whether a character from U+0080 on is escaped: one that
// XML breaks lines at or cannot hold, or a byte that is not UTF-8.
func escapedRune(r rune, size int) bool {
	switch r {
	case '\u2028', '\u2029', '\ufffe', '\uffff':
		return true
	}
	return r == utf8.RuneError && size == 1
}

// decode undoes appendEncoded. It also accepts texts that appendEncoded never writes:
// its callers encode the outcome again and compare.
func decode(encoded string) string {
	if strings.IndexByte(encoded, '%') < 0 && strings.IndexByte(encoded, '~') < 0 {
		return encoded
	}
	dst := make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); i++ {
		rest := encoded[i:]
		switch {
		case strings.HasPrefix(rest, "~/"):
			i++
		case rest[0] == '%' && len(rest) >= 3 && unhex(rest[1]) < 16 && unhex(rest[2]) < 16:
			dst = append(dst, unhex(rest[1])<<4|unhex(rest[2]))
			i += 2
		default:
			dst = append(dst, rest[0])
		}
	}
	return string(dst)
}

// unhex returns the value of an upper-case hexadecimal digit, or 16.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
