package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// tokenPrefix begins every token that Mint makes, so that people and scanners
// of secrets know one when they see it.
const tokenPrefix = "lrd_"

// Mint makes a token and the entry that makes it good once it is in the tokens
// file. The token is kept nowhere: if it is lost, another one is needed. It has 256
// random bits. The entry that is given says what it is good for; a zero time means that
// it never expires. The caller checks that the org's name is allowed.
func Mint(entry Entry, expires time.Time) (token string, made Entry, err error) {
	secret, id := make([]byte, 32), make([]byte, 6)
	rand.Read(secret)
	rand.Read(id)
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	d := sha256.Sum256([]byte(token))
	entry.ID, entry.SHA256 = hex.EncodeToString(id), hex.EncodeToString(d[:])
	if !expires.IsZero() {
		if !time.Now().Before(expires) {
			return "", Entry{}, fmt.Errorf("mint token: it expires at %s, want a time to come", expires.Format(time.RFC3339))
		}
		entry.Expires = expires.UTC().Format(time.RFC3339)
	}
	if _, _, err := entry.credential(anyOrg); err != nil {
		return "", Entry{}, fmt.Errorf("mint token: %w", err)
	}
	return token, entry, nil
}

func anyOrg(org string) error {
	if org == "" {
		return errors.New("it is empty")
	}
	return nil
}
