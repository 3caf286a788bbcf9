package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// maxCredential bounds the work for a header that is no credential, in bytes. The
// tokens of identity providers that list a user's groups have some thousand.
const maxCredential = 16 << 10

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
