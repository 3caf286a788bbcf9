package auth

import (
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"time"
)

// Tokens are the credentials that are good now. There are none until Take has
// succeeded. Make them with New.
type Tokens struct {
	validOrg func(org string) error
	// current is replaced whole and never written to.
	current atomic.Pointer[map[digest]credential]
}

// New makes Tokens. validOrg says what is wrong with the name of an org, if
// anything.
func New(validOrg func(org string) error) *Tokens {
	t := &Tokens{validOrg: validOrg}
	t.current.Store(&map[digest]credential{})
	return t
}

// Take makes the entries of a tokens file the credentials that are good. A file
// that holds anything but good entries is an error, which says what and where and
// quotes nothing of it; then all stays as it was.
func (t *Tokens) Take(file []byte) error {
	credentials, err := parse(file, t.validOrg)
	if err != nil {
		return err
	}
	t.current.Store(&credentials)
	return nil
}

// Len returns how many credentials there are.
func (t *Tokens) Len() int { return len(*t.current.Load()) }

// find returns whose token it is, if it is known.
//
// The token is found by its SHA-256 digest in a map. That takes a time that
// depends on the digest, but this tells an attacker nothing of use: he cannot
// choose digests, and a token that shares the beginning of its digest with a
// good one is no nearer to it.
func (t *Tokens) find(token string) (p Principal, known bool, err error) {
	c, ok := (*t.current.Load())[digestOf(token)]
	if !ok {
		return Principal{}, false, nil
	}
	if !c.expires.IsZero() && !time.Now().Before(c.expires) {
		return Principal{}, true, fmt.Errorf("%w: the token %s was good until %s", ErrExpired, c.principal.TokenID, c.expires.Format(time.RFC3339))
	}
	return c.principal, true, nil
}

// digestOf is the SHA-256 of a token. A short one, as node token makes them, takes no
// memory.
func digestOf(token string) digest {
	var short [64]byte
	return sha256.Sum256(append(short[:0], token...))
}
