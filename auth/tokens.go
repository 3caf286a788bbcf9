package auth

import (
	"sync/atomic"
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
