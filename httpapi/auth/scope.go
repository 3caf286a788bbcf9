package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Action is what a request does.
type Action int

// The actions. Reading is seeing an object or its name; administering is what changes
// more than the objects that one names.
const (
	Read Action = iota
	Write
	Delete
	Administer
)

// Scope is what a credential is good for, of its org's objects.
type Scope struct {
	Services []string // all if there are none
	Prefixes []string // of keys; all if there are none
}

// scopeAtMost bounds the services and the prefixes of a scope, each.
const scopeAtMost = 64

// checked returns the scope; nil if it is of everything.
func (s Scope) checked() (*Scope, error) {
	if len(s.Services) > scopeAtMost || len(s.Prefixes) > scopeAtMost {
		return nil, fmt.Errorf("it has more than %d services or prefixes", scopeAtMost)
	}
	for _, service := range s.Services {
		if service != "objects" && service != "strategies" {
			return nil, errors.New("services holds what is none, want objects or strategies")
		}
	}
	for _, prefix := range s.Prefixes {
		if prefix == "" || !utf8.ValidString(prefix) || len(prefix) > 512 {
			return nil, errors.New("prefixes holds an empty or overlong text, want beginnings of keys; leave it out for all keys")
		}
	}
	if len(s.Services) == 0 && len(s.Prefixes) == 0 {
		return nil, nil //nolint:nilnil // no scope is no bound
	}
	return &s, nil
}

// covers reports whether a key is within the scope.
func (s *Scope) covers(service, key string) bool {
	if s == nil {
		return true
	}
	if len(s.Services) > 0 && !slices.Contains(s.Services, service) {
		return false
	}
	return len(s.Prefixes) == 0 || slices.ContainsFunc(s.Prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// Callers decide by these.
var (
	// ErrRole says that the role may not do this.
	ErrRole = errors.New("not with the role of this credential")
	// ErrScope says that the credential is not for this service or key. Its text is for
	// the caller.
	ErrScope = errors.New("not within what this credential is for")
)

// May returns nil if the principal may do this to the key of its org, or to all keys
// that begin with it for what is done to many. It is the one place where that is
// decided.
func (p Principal) May(a Action, service, key string) error {
	if needs := a.needs(); p.Role.rank() < needs.rank() {
		may := "read"
		if p.Role == Writer {
			may = "read and write"
		}
		return fmt.Errorf("%w, which may only %s; ask for one with the role %s", ErrRole, may, needs)
	}
	if !p.Scope.covers(service, key) {
		return outside{p.Scope}
	}
	return nil
}

// outside is the ErrScope of a scope. Its text is made when it is wanted: a listing asks
// for each of many keys, and shows none.
type outside struct{ scope *Scope }

// Error says what the scope is.
func (o outside) Error() string { return ErrScope.Error() + ": " + o.scope.String() }

func (outside) Unwrap() error { return ErrScope }

// needs is the least role that may do this.
func (a Action) needs() Role {
	switch a {
	case Read:
		return Reader
	case Administer:
		return Admin
	default:
		return Writer
	}
}

// Listed returns the beginning that all keys have which a listing of these may show,
// and whether each of them has to be looked at with May. A listing that could show
// none is ErrScope.
func (p Principal) Listed(service, prefix string) (narrowed string, look bool, err error) {
	s := p.Scope
	if s.covers(service, prefix) {
		return prefix, false, p.May(Read, service, prefix)
	}
	var within []string
	if len(s.Services) == 0 || slices.Contains(s.Services, service) {
		for _, allowed := range s.Prefixes {
			if strings.HasPrefix(allowed, prefix) {
				within = append(within, allowed)
			}
		}
	}
	if len(within) == 0 {
		return "", false, outside{s}
	}
	narrowed = within[0]
	for _, other := range within[1:] {
		for !strings.HasPrefix(other, narrowed) {
			_, size := utf8.DecodeLastRuneInString(narrowed)
			narrowed = narrowed[:len(narrowed)-size]
		}
	}
	return narrowed, len(within) > 1, nil
}

// String says what the scope is of.
func (s *Scope) String() string {
	var parts []string
	if len(s.Services) > 0 {
		parts = append(parts, "the services "+strings.Join(s.Services, ", "))
	}
	if len(s.Prefixes) > 0 {
		parts = append(parts, fmt.Sprintf("keys that begin with %q", s.Prefixes))
	}
	return "it is for " + strings.Join(parts, " and ")
}
