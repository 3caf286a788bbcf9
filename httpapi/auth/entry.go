package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"larder/usage/entries"
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
	// Services and Prefixes are what the token is good for; all without them.
	Services []string `json:"services,omitempty" yaml:"services,omitempty"`
	Prefixes []string `json:"prefixes,omitempty" yaml:"prefixes,omitempty"`
}

type digest = [sha256.Size]byte

// credential is what the holder of a token may have.
type credential struct {
	principal Principal
	// expires is zero for never.
	expires time.Time
}

// wanted is what a tokens file holds.
const wanted = "want one list of {id, org, user, role, sha256, expires, services, prefixes}, or [] for no tokens"

// parse reads a tokens file, which is a list of entries in YAML or JSON. It
// refuses what it does not understand: an entry that was skipped, or an "expires"
// that was misspelt, would only be noticed by somebody who gains by it. Its errors
// quote nothing of the file, since a token may stand anywhere in it.
func parse(data []byte, validOrg func(string) error) (map[digest]credential, error) {
	list, err := entries.Decode(data, wanted)
	if err != nil {
		return nil, err
	}
	credentials := make(map[digest]credential, len(list))
	ids := make(map[string]bool, len(list))
	for i, r := range list {
		var d digest
		var c credential
		e, err := record(r).entry()
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
			return nil, fmt.Errorf("entry %d, at line %d: %w", i+1, r.Line, err)
		}
		ids[e.ID] = true
		credentials[d] = c
	}
	return credentials, nil
}

// record is an entry of a file as it is written.
type record entries.Entry

// entry returns the entry of a tokens file that a record holds.
func (r record) entry() (Entry, error) {
	var e Entry
	err := r.read(map[string]any{
		"id": &e.ID, "org": &e.Org, "user": &e.User, "role": (*string)(&e.Role), "sha256": &e.SHA256, "expires": &e.Expires,
		"services": &e.Services, "prefixes": &e.Prefixes,
	})
	return e, err
}

// read sets what the fields of a record are of, texts and lists of texts. A value must
// be text as it stands: YAML reads 007 as the number 7, and that would be another org.
// A list without anything in it may be meant as none or as all, and is neither.
func (r record) read(to map[string]any) error {
	seen := map[string]bool{}
	for _, f := range r.Fields {
		if to[f.Name] == nil {
			return fmt.Errorf("it has a field that is none of %s", strings.Join(slices.Sorted(maps.Keys(to)), ", "))
		}
		if seen[f.Name] {
			return fmt.Errorf("it has %s twice", f.Name)
		}
		seen[f.Name] = true
		switch v := to[f.Name].(type) {
		case *string:
			digits := f.Kind == entries.Number && f.Name == "sha256" // as it is written
			nothing := f.Kind == entries.Null && f.Name == "expires"
			if f.Kind != entries.Text && !digits && !nothing {
				return fmt.Errorf("%s is not text, want it in quotes", f.Name)
			}
			*v = f.Value
		case *[]string:
			if f.Kind != entries.Texts || len(f.List) == 0 {
				return fmt.Errorf("%s is no list of texts, or an empty one; leave it out for all", f.Name)
			}
			*v = f.List
		}
	}
	return nil
}

// credential checks the entry and returns what it says.
func (e Entry) credential(validOrg func(string) error) (digest, credential, error) {
	fail := func(format string, args ...any) (digest, credential, error) {
		return digest{}, credential{}, fmt.Errorf(format, args...)
	}
	if err := validLabel(e.ID); err != nil {
		return fail("id: %w", err)
	}
	p := Principal{Org: e.Org, User: e.User, Role: e.Role, TokenID: e.ID}
	err := p.check(validOrg)
	if err != nil {
		return fail("%w", err)
	}
	if p.Scope, err = (Scope{Services: e.Services, Prefixes: e.Prefixes}).checked(); err != nil {
		return fail("%w", err)
	}
	var d digest
	if len(e.SHA256) != hex.EncodedLen(len(d)) || e.SHA256 != strings.ToLower(e.SHA256) {
		return fail("sha256 has %d bytes or capitals, want the %d lower-case hexadecimal digits of the token's SHA-256", len(e.SHA256), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], []byte(e.SHA256)); err != nil {
		return fail("sha256 is not hexadecimal, want the %d lower-case hexadecimal digits of the token's SHA-256", hex.EncodedLen(len(d)))
	}
	c := credential{principal: p}
	if e.Expires != "" {
		t, err := time.Parse(time.RFC3339, e.Expires)
		if err != nil {
			return fail("expires is no time in RFC 3339, want one such as 2030-01-30T00:00:00Z, or nothing for never")
		}
		c.expires = t
	}
	return d, c, nil
}

// check returns what is wrong with the org, the user or the role.
func (p Principal) check(validOrg func(string) error) error {
	if validOrg(p.Org) != nil {
		return errors.New("org is not the name of one, want 1 to 63 of a-z, 0-9, '-', '_' and '.'")
	}
	if err := validLabel(p.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if !p.Role.valid() {
		return fmt.Errorf("role is none that there is, want %s, %s or %s", Reader, Writer, Admin)
	}
	return nil
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
