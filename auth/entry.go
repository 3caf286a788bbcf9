package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Entry is one token in the tokens file. In JSON on one line, with "- " before
// it, it can be appended to a file in YAML.
type Entry struct {
	// ID names the token in logs and in errors. It is no secret.
	ID   string `json:"id" yaml:"id"`
	Org  string `json:"org" yaml:"org"`
	User string `json:"user" yaml:"user"`
	Role Role   `json:"role" yaml:"role"`
	// SHA256 is the digest of the token in lower-case hexadecimal. It is not
	// salted, since a token is as random as a salt would be; a password of
	// human making does not belong here.
	SHA256 string `json:"sha256" yaml:"sha256"`
	// Expires is the time in RFC 3339 from which on the token is refused;
	// empty for never.
	Expires string `json:"expires,omitempty" yaml:"expires,omitempty"`
}

type digest = [sha256.Size]byte

// credential is what the holder of a token may have.
type credential struct {
	principal Principal
	// expires is zero for never.
	expires time.Time
}

// parse reads a tokens file, which is a list of entries in YAML or JSON. It
// refuses what it does not understand: an entry that was skipped, or an "expires"
// that was misspelt, would only be noticed by somebody who gains by it. Its errors
// quote nothing of the file, since a token may stand anywhere in it.
func parse(data []byte, validOrg func(string) error) (map[digest]credential, error) {
	records, err := decode(data)
	if err != nil {
		return nil, err
	}
	credentials := make(map[digest]credential, len(records))
	ids := make(map[string]bool, len(records))
	for i, r := range records {
		var d digest
		var c credential
		e, err := r.entry()
		if err == nil {
			d, c, err = e.credential(validOrg)
		}
		_, twin := credentials[d]
		switch {
		case err != nil:
		case ids[e.ID]:
			err = errors.New("an entry before it has the same id, want one of its own")
		case twin:
			err = errors.New("an entry before it has the same sha256, want a token of its own")
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d, at line %d: %w", i+1, r.line, err)
		}
		ids[e.ID] = true
		credentials[d] = c
	}
	return credentials, nil
}

// entry returns the entry that a record holds. A value must be text as it stands:
// YAML reads 007 as the number 7, and that would be another org.
func (r record) entry() (Entry, error) {
	var e Entry
	seen := map[string]bool{}
	for _, f := range r.fields {
		var to *string
		switch f.name {
		case "id":
			to = &e.ID
		case "org":
			to = &e.Org
		case "user":
			to = &e.User
		case "role":
			to = (*string)(&e.Role)
		case "sha256":
			to = &e.SHA256
		case "expires":
			to = &e.Expires
		default:
			return Entry{}, errors.New("it has a field that is none of id, org, user, role, sha256 and expires")
		}
		if seen[f.name] {
			return Entry{}, fmt.Errorf("it has %s twice", f.name)
		}
		if f.kind != text && (f.kind != null || f.name != "expires") {
			return Entry{}, fmt.Errorf("%s is not text, want it in quotes", f.name)
		}
		seen[f.name], *to = true, f.value
	}
	return e, nil
}

// credential checks the entry and returns what it says.
func (e Entry) credential(validOrg func(string) error) (digest, credential, error) {
	fail := func(format string, args ...any) (digest, credential, error) {
		return digest{}, credential{}, fmt.Errorf(format, args...)
	}
	if err := validLabel(e.ID); err != nil {
		return fail("id: %w", err)
	}
	if validOrg(e.Org) != nil {
		return fail("org is not the name of one, want 1 to 63 of a-z, 0-9, '-', '_' and '.'")
	}
	if err := validLabel(e.User); err != nil {
		return fail("user: %w", err)
	}
	if !e.Role.valid() {
		return fail("role is none that there is, want %s, %s or %s", Reader, Writer, Admin)
	}
	var d digest
	if len(e.SHA256) != hex.EncodedLen(len(d)) || e.SHA256 != strings.ToLower(e.SHA256) {
		return fail("sha256 has %d bytes or capitals, want the %d lower-case hexadecimal digits of the token's SHA-256", len(e.SHA256), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], []byte(e.SHA256)); err != nil {
		return fail("sha256 is not hexadecimal, want the %d lower-case hexadecimal digits of the token's SHA-256", hex.EncodedLen(len(d)))
	}
	c := credential{principal: Principal{Org: e.Org, User: e.User, Role: e.Role, TokenID: e.ID}}
	if e.Expires != "" {
		t, err := time.Parse(time.RFC3339, e.Expires)
		if err != nil {
			return fail("expires is no time in RFC 3339, want one such as 2030-01-30T00:00:00Z, or nothing for never")
		}
		c.expires = t
	}
	return d, c, nil
}

// validLabel checks a text that goes to logs and into objects' metadata.
func validLabel(s string) error {
	const most = 128
	if s == "" || len(s) > most {
		return fmt.Errorf("it has %d bytes, want 1 to %d", len(s), most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("it holds control characters or is not UTF-8, want text on one line")
	}
	return nil
}
