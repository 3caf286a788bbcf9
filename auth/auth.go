// Package auth identifies callers: it turns the value of an Authorization header
// into a principal with an org, a user and a role.
//
// The operator's tokens file alone says what a credential is good for. It holds
// digests and never tokens, and a caller's org comes from there and from nowhere
// else. Package httpapi calls Authenticate; cmd/node reads the file again when it
// changes, and mints tokens. What a principal may do with a request is not decided
// here, and no token is ever logged or part of an error. Everything here is safe
// for concurrent use.
package auth

import "errors"

// Callers decide by these. Every error of Authenticate wraps one of them, and
// its text can be shown to the caller.
var (
	// ErrNoCredential says that the caller sent none.
	ErrNoCredential = errors.New("no credential")
	// ErrBadCredential says that the credential cannot be read or is not known.
	ErrBadCredential = errors.New("bad credential")
	// ErrExpired says that the credential was good once. Only its holder is
	// told so.
	ErrExpired = errors.New("expired credential")
)

// Role is what a principal may do in its org.
type Role string

// The roles, each of which may do what the one before it may.
const (
	Reader Role = "reader"
	Writer Role = "writer"
	Admin  Role = "admin"
)

// CanWrite reports whether the role may put and delete objects.
func (r Role) CanWrite() bool { return r == Writer || r == Admin }

// valid reports whether there is such a role.
func (r Role) valid() bool { return r == Reader || r == Writer || r == Admin }

// Principal is a caller whose credential is good.
type Principal struct {
	Org  string
	User string
	Role Role
	// TokenID is the id of the token in the tokens file, for logs.
	TokenID string
}
