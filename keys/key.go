// Package keys names things: objects, their place in the bucket, their chunks,
// and the hashes by which the ring gives each of them an owner.
//
// Two different keys never share a place, a chunk key or a text, and every
// text that is made here parses back to what it was made of; the fuzz tests
// hold that. The places are kept in buckets and the hashes are compared
// between nodes of different releases, so neither may ever change its outcome.
//
// Every other package may use this one. It does no I/O, keeps no state and is
// safe for concurrent use.
package keys

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The services, which are separate name spaces with the same operations.
const (
	// Objects takes any key.
	Objects = "objects"
	// Strategies takes only strategy keys; see ParseStrategy.
	Strategies = "strategies"
)

const (
	// maxName is the longest name of a key, in bytes.
	maxName = 512
	// maxOrg is the longest name of an organisation, in bytes: that of a DNS
	// label, so that an org can be part of a host name.
	maxOrg = 63
)

// ErrBadKey is wrapped by every error of this package. The text that wraps it
// says what is wrong and what would be right.
var ErrBadKey = errors.New("bad key")

// Key is the name of an object. It is comparable. New and FromPlace make only
// valid keys; what this package promises, it promises for those.
type Key struct {
	// Org is the organisation that the object belongs to.
	Org string
	// Service is Objects or Strategies.
	Service string
	// Name is what the researcher calls the object.
	Name string
}

// New returns the key of the name within (org, service), or an error that
// wraps ErrBadKey.
//
// A name is 1 to 512 bytes of UTF-8 without control characters (Unicode's
// category Cc). Under Strategies it is a strategy key. Its place must fit what
// S3 takes, which only a name of several hundred escaped characters does not.
func New(org, service, name string) (Key, error) {
	if err := validSpace(org, service); err != nil {
		return Key{}, err
	}
	if name == "" {
		return Key{}, fmt.Errorf("%w: it is empty, want 1 to %d bytes", ErrBadKey, maxName)
	}
	if err := validText(name); err != nil {
		return Key{}, err
	}
	if service == Strategies {
		if _, err := ParseStrategy(name); err != nil {
			return Key{}, err
		}
	}
	k := Key{Org: org, Service: service, Name: name}
	if err := k.fits(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// String returns the key's place: an unambiguous text for logs.
func (k Key) String() string { return k.Place() }

// ValidOrg says what is wrong with the name of an organisation, if anything:
// it has 1 to 63 of the characters a-z, 0-9, '-', '_' and '.', and begins with
// a letter, a digit or '_'.
func ValidOrg(org string) error {
	const want = "want 1 to 63 of a-z, 0-9, '-', '_' and '.', beginning with a letter, a digit or '_'"
	if org == "" {
		return fmt.Errorf("%w: the org is empty, %s", ErrBadKey, want)
	}
	if len(org) > maxOrg {
		return fmt.Errorf("%w: the org has %d bytes, %s", ErrBadKey, len(org), want)
	}
	if org[0] == '.' || org[0] == '-' {
		return fmt.Errorf("%w: the org %q begins with %q, %s", ErrBadKey, org, org[0], want)
	}
	for i := range len(org) {
		c := org[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_.", c) >= 0 {
			continue
		}
		return fmt.Errorf("%w: byte %d of the org %q is not allowed, %s", ErrBadKey, i, org, want)
	}
	return nil
}

// validSpace checks the name space of a key: its org and service.
func validSpace(org, service string) error {
	if err := ValidOrg(org); err != nil {
		return err
	}
	if service != Objects && service != Strategies {
		return fmt.Errorf("%w: there is no service %q, want %q or %q", ErrBadKey, service, Objects, Strategies)
	}
	return nil
}

// validText checks what holds for a name and for every prefix of one.
func validText(s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%w: it has %d bytes, want at most %d", ErrBadKey, len(s), maxName)
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return fmt.Errorf("%w: byte 0x%02x at offset %d is not UTF-8, want UTF-8 text", ErrBadKey, s[i], i)
			}
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: the control character %U at offset %d is not allowed, want text on one line", ErrBadKey, r, i)
		}
	}
	return nil
}
