package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
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
// takes nothing that it does not understand: an entry that is skipped, or a
// misspelt "expires", would only be noticed by those who should not.
func parse(data []byte, validOrg func(string) error) (map[digest]credential, error) {
	list, err := decode(data)
	if err != nil {
		return nil, err
	}
	credentials := make(map[digest]credential, len(list))
	ids := make(map[string]bool, len(list))
	for i, fields := range list {
		var d digest
		var c credential
		e, err := entryOf(fields)
		if err == nil {
			d, c, err = e.credential(validOrg)
		}
		if err == nil && ids[e.ID] {
			err = errors.New("another entry has the same id, want one of its own")
		}
		if twin, ok := credentials[d]; err == nil && ok {
			err = fmt.Errorf("the entry with id %q has the same sha256, want a token of its own", twin.principal.TokenID)
		}
		if err != nil {
			id, _ := fields["id"].(string)
			return nil, fmt.Errorf("entry %d (id %q): %w", i+1, id, err)
		}
		ids[e.ID] = true
		credentials[d] = c
	}
	return credentials, nil
}

// decode reads the one YAML document of a tokens file. (JSON is YAML.)
func decode(data []byte) (list []map[string]any, err error) {
	const want = "want one list of {id, org, user, role, sha256, expires}, or [] for no tokens"
	// The decoder panics at some texts that are no YAML, and a node must live
	// through any file that it reads again.
	defer func() {
		if recover() != nil {
			list, err = nil, errors.New("the file is not YAML, "+want)
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&list); errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty, " + want)
	} else if err != nil {
		// Not the error itself: that quotes the file, and someone may have put
		// a token there.
		return nil, fmt.Errorf("at [line:column] %s, %s", yaml.FormatError(err, false, false), want)
	}
	if list == nil {
		return nil, errors.New("the file holds no list, " + want)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one YAML document, " + want)
	}
	return list, nil
}

// entryOf returns the entry of these fields. A value must be text as it stands:
// YAML reads 007 as the number 7, and that would be another org.
func entryOf(fields map[string]any) (Entry, error) {
	var e Entry
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		text, ok := value.(string)
		if !ok && (name != "expires" || value != nil) {
			return Entry{}, fmt.Errorf("%s is not text, want it in quotes", name)
		}
		switch name {
		case "id":
			e.ID = text
		case "org":
			e.Org = text
		case "user":
			e.User = text
		case "role":
			e.Role = Role(text)
		case "sha256":
			e.SHA256 = text
		case "expires":
			e.Expires = text
		default:
			return Entry{}, fmt.Errorf("there is no field %q, want id, org, user, role, sha256 and expires", name)
		}
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
	if err := validOrg(e.Org); err != nil {
		return fail("org: %w", err)
	}
	if err := validLabel(e.User); err != nil {
		return fail("user: %w", err)
	}
	if !e.Role.valid() {
		return fail("there is no role %q, want %s, %s or %s", e.Role, Reader, Writer, Admin)
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
			return fail("expires is %q, want a time in RFC 3339 such as 2030-01-30T00:00:00Z, or nothing for never", e.Expires)
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
