// Package auth identifies callers: it turns the credential of a request into a
// principal with an org, a user and a role, and says what a principal may do.
//
// A credential is a token of the operator's tokens file, which holds digests and
// never tokens; a client certificate under the operator's authority; or a token of
// an identity provider, which auth/issuer verifies. A caller's org comes from there
// and from nowhere else. Package httpapi calls Gate.Authenticate and Principal.May;
// cmd/node reads the files again when they change, and mints tokens. No token is
// ever logged or part of an error. Everything here is safe for concurrent use.
package auth

import (
	"errors"
	"slices"
)

// Callers decide by these. Every error of Authenticate wraps one of them, and
// its text can be shown to the caller.
var (
	// ErrNoCredential says that the caller sent none.
	ErrNoCredential = errors.New("no credential")
	// ErrBadCredential says that the credential cannot be read or is not known.
	ErrBadCredential = errors.New("bad credential")
	// ErrRefused says that a certificate, or the token of an identity provider,
	// is not good. Its text says why, holds nothing of the credential, and is for
	// the caller.
	ErrRefused = errors.New("credential refused")
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

// rank orders the roles; 0 is none of them.
func (r Role) rank() int {
	return slices.Index([]Role{Reader, Writer, Admin}, r) + 1
}

// valid reports whether there is such a role.
func (r Role) valid() bool { return r.rank() > 0 }

// Principal is a caller whose credential is good.
type Principal struct {
	Org  string
	User string
	Role Role
	// TokenID names the credential in logs: the id of its entry in the tokens or
	// the map file, or what else there is.
	TokenID string
	// Scope bounds what the credential is good for; nil is everything of the org.
	Scope *Scope
}
