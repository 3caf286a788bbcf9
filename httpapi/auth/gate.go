package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// maxCredential bounds the work for a header that is no credential, in bytes. The
// tokens of identity providers that list a user's groups have some thousand.
const maxCredential = 16 << 10

// Credential is what a request bears to say who sends it.
type Credential struct {
	// Authorization is the value of that header, empty if there is none.
	Authorization string
	// Chain is what the client of a TLS connection gave and proved to hold, its own
	// certificate first, which nobody has verified yet; nil if it gave none.
	Chain []*x509.Certificate
}

// Issued finds out whose token an identity provider has issued, a JSON Web Token
// (RFC 7519). An error that may be shown to the caller wraps ErrRefused.
type Issued interface {
	Verify(ctx context.Context, token string) (Principal, error)
	// Known returns whose token it is if it was verified before and is good still. It
	// keeps nothing of the token.
	Known(token string) (Principal, bool)
}

// Gate finds out who sends a request by the kinds of credentials that there are
// here; a kind that there is not is nil.
type Gate struct {
	Tokens       *Tokens
	Certificates *Certificates
	Issued       Issued
}

// Authenticate returns whose credential it is. An Authorization header decides
// alone if there is one: a proxy may bear its own certificate and its callers'
// tokens, and a bad token must not be made up for by a certificate.
func (g Gate) Authenticate(ctx context.Context, c Credential) (Principal, error) {
	if c.Authorization == "" {
		if g.Certificates != nil && len(c.Chain) > 0 {
			return g.Certificates.Authenticate(c.Chain)
		}
		return Principal{}, fmt.Errorf("%w: send an Authorization header, Bearer TOKEN or Basic with the token as password", ErrNoCredential)
	}
	token, err := parseAuthorization(c.Authorization)
	if err != nil {
		return Principal{}, err
	}
	if g.Tokens != nil {
		if p, known, err := g.Tokens.find(token); known {
			return p, err
		}
	}
	if g.Issued != nil && looksIssued(token) {
		return g.Issued.Verify(ctx, token)
	}
	return Principal{}, fmt.Errorf("%w: the token is not known here", ErrBadCredential)
}

// Known returns whose an Authorization header is, if that is known here without a look
// at anything else. It keeps nothing of the header.
func (g Gate) Known(authorization string) (Principal, bool) {
	token, err := parseAuthorization(authorization)
	if err != nil {
		return Principal{}, false
	}
	if g.Tokens != nil {
		if p, known, err := g.Tokens.find(token); known {
			return p, err == nil
		}
	}
	if g.Issued != nil && looksIssued(token) {
		return g.Issued.Known(token)
	}
	return Principal{}, false
}

// looksIssued reports whether a token has the form of a JSON Web Token: three parts,
// the first a JSON object in base64.
func looksIssued(token string) bool {
	return strings.HasPrefix(token, "eyJ") && strings.Count(token, ".") == 2
}

// parseAuthorization returns the token in the value of an Authorization header,
// "Bearer TOKEN", or "Basic BASE64" of "USER:TOKEN" for tools that know only
// passwords, where any user will do. Scheme names may be in any case (RFC 9110, section 11.6.2; RFC 6750, section 2.1; RFC 7617, section 2).
func parseAuthorization(authorization string) (string, error) {
	if len(authorization) > maxCredential {
		return "", fmt.Errorf("%w: it has more than %d bytes", ErrBadCredential, maxCredential)
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.Trim(token, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
	case strings.EqualFold(scheme, "Basic"):
		pair, err := base64.StdEncoding.DecodeString(token)
		if err != nil {
			return "", fmt.Errorf("%w: what follows Basic is not base64", ErrBadCredential)
		}
		_, password, ok := strings.Cut(string(pair), ":")
		if !ok {
			return "", fmt.Errorf("%w: what follows Basic is not the base64 of USER:TOKEN", ErrBadCredential)
		}
		token = password
	default:
		return "", fmt.Errorf("%w: its scheme is neither Bearer nor Basic", ErrBadCredential)
	}
	if token == "" {
		return "", fmt.Errorf("%w: it holds no token", ErrBadCredential)
	}
	return token, nil
}

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
