package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"larder/usage/entries"
)

// Claims are what a verified token of an identity provider says of its holder.
type Claims map[string]any

// texts are the values of a claim: a text, or each of a list. A name with dots that is
// no claim's leads into claims of claims, as realm_access.roles does.
func (c Claims) texts(name string) []string {
	value, ok := c[name]
	for at := 0; !ok; {
		dot := strings.IndexByte(name[at:], '.')
		if dot < 0 {
			return nil
		}
		at += dot + 1
		inner, isMap := c[name[:at-1]].(map[string]any)
		if isMap {
			return Claims(inner).texts(name[at:])
		}
	}
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var texts []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				texts = append(texts, s)
			}
		}
		return texts
	}
	return nil
}

// text is the one value of a claim.
func (c Claims) text(name string) (string, error) {
	texts := c.texts(name)
	if len(texts) != 1 || texts[0] == "" {
		return "", fmt.Errorf("the claim %s has %d texts, want one", name, len(texts))
	}
	return texts[0], nil
}

// Mapping says whom claims name: by the entries of a file, the first that fits, and
// else by claims of these names. Make it with NewMapping.
type Mapping struct {
	// Org, User and Role are names of claims; an empty Org leaves all to the
	// entries, an empty Role makes readers.
	Org, User, Role string

	validOrg func(org string) error
	// entries is replaced whole and never written to.
	entries atomic.Pointer[[]mapped]
}

// mapped is one entry of a map file.
type mapped struct {
	id, claim, value string
	principal        Principal // whose user is empty where a claim names it
}

// NewMapping makes a Mapping without entries. validOrg says what is wrong with the name
// of an org, if anything.
func NewMapping(validOrg func(string) error) *Mapping {
	m := &Mapping{User: "sub", validOrg: validOrg}
	m.entries.Store(&[]mapped{})
	return m
}

// Take makes the entries of a map file those that count. A file that holds anything but
// good entries is an error; then all stays as it was.
func (m *Mapping) Take(file []byte) error {
	list, err := entries.Decode(file, wantedOfMap)
	if err != nil {
		return err
	}
	taken, ids := make([]mapped, 0, len(list)), map[string]bool{}
	for i, r := range list {
		e, err := record(r).mapped(m.validOrg)
		if err == nil && ids[e.id] {
			err = errors.New("an entry before it has the same id, want one of its own")
		}
		if err != nil {
			return fmt.Errorf("entry %d, at line %d: %w", i+1, r.Line, err)
		}
		ids[e.id] = true
		taken = append(taken, e)
	}
	m.entries.Store(&taken)
	return nil
}

// Len returns how many entries there are.
func (m *Mapping) Len() int { return len(*m.entries.Load()) }

// wantedOfMap is what a map file holds.
const wantedOfMap = "want one list of {id, claim, value, org, user, role, services, prefixes}, or [] for none"

// mapped returns the entry of a map file that a record holds.
func (r record) mapped(validOrg func(string) error) (mapped, error) {
	e, p := mapped{claim: "sub"}, Principal{}
	var scope Scope
	err := r.read(map[string]any{
		"id": &e.id, "claim": &e.claim, "value": &e.value, "org": &p.Org, "user": &p.User, "role": (*string)(&p.Role),
		"services": &scope.Services, "prefixes": &scope.Prefixes,
	})
	if err != nil {
		return e, err
	}
	if err := validLabel(e.id); err != nil {
		return e, fmt.Errorf("id: %w", err)
	}
	if strings.Trim(e.value, "*") == "" || strings.Contains(strings.TrimSuffix(e.value, "*"), "*") {
		return e, errors.New("value is empty or has a * before its end, want a text, or the beginning of one with * behind it")
	}
	user := p.User
	if user == "" {
		p.User = "of a claim"
	}
	if err := p.check(validOrg); err != nil {
		return e, err
	}
	if p.Scope, err = scope.checked(); err != nil {
		return e, err
	}
	p.User = user
	e.principal = p
	return e, nil
}

// fits reports whether a claim has the entry's value.
func (e mapped) fits(c Claims) bool {
	for _, text := range c.texts(e.claim) {
		if beginning, ok := strings.CutSuffix(e.value, "*"); text == e.value || ok && strings.HasPrefix(text, beginning) {
			return true
		}
	}
	return false
}

// Principal returns whom claims name. An error says what they lack, for their holder.
func (m *Mapping) Principal(c Claims) (Principal, error) {
	for _, e := range *m.entries.Load() {
		if e.fits(c) {
			p := e.principal
			p.TokenID = e.id
			return m.named(p, c)
		}
	}
	if m.Org == "" {
		return Principal{}, errors.New("no entry of the map file is for this token")
	}
	p := Principal{Role: Reader, TokenID: "claims"}
	var err error
	if p.Org, err = c.text(m.Org); err != nil {
		return Principal{}, err
	}
	if m.Role != "" {
		if p.Role, err = highest(c.texts(m.Role)); err != nil {
			return Principal{}, fmt.Errorf("the claim %s: %w", m.Role, err)
		}
	}
	return m.named(p, c)
}

// named completes a principal with the user of the claims, unless it has one.
func (m *Mapping) named(p Principal, c Claims) (Principal, error) {
	if p.User == "" {
		var err error
		if p.User, err = c.text(m.User); err != nil {
			return Principal{}, err
		}
	}
	if err := p.check(m.validOrg); err != nil {
		return Principal{}, err
	}
	return p, nil
}

// highest is the role of these names that may most. Names of anything else say nothing.
func highest(names []string) (Role, error) {
	role := Role("")
	for _, name := range names {
		if r := Role(name); r.valid() && r.rank() > role.rank() {
			role = r
		}
	}
	if role == "" {
		return "", fmt.Errorf("it names no role, want %s, %s or %s", Reader, Writer, Admin)
	}
	return role, nil
}
