package builds

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"larder/keys"
	"larder/store"
)

// ErrLost says that a claim is not good any more, or never was.
var ErrLost = errors.New("the claim is lost")

// maxToken bounds the text of a token, in bytes.
const maxToken = 4 << 10

// Base is what a key held when its claim was granted: a version and the name of its
// write, or absence if it is zero.
type Base struct {
	Version string `json:"v,omitempty"`
	Write   string `json:"w,omitempty"`
}

// baseOf is the base of a key with this head.
func baseOf(h store.Head) Base { return Base{Version: h.Version, Write: h.WriteName()} }

// Claim is the right to build one key.
type Claim struct {
	// Name is random, and kept with the object that the claim's holder puts.
	Name string `json:"n"`
	// Holder is who has it, among all who are attached (see Request), and User is
	// the holder's user.
	Holder string `json:"h"`
	User   string `json:"u"`
	Base   Base   `json:"b"`
	// Granted is when, in Unix milliseconds.
	Granted int64 `json:"g"`
	// Stream says that it was granted to a holder of a stream, whose end gives it up.
	Stream bool `json:"s,omitempty"`
	// Expect is how long the build usually takes, in seconds, as its holder says; 0
	// if unknown.
	Expect float64 `json:"e,omitempty"`
}

func (c Claim) since() time.Time { return time.UnixMilli(c.Granted).UTC() }

// seal makes the token of a claim: what it says, and a proof under the first of the
// cluster's keys that a member said so, of this key.
func seal(secrets [][]byte, k keys.Key, c Claim) (string, error) {
	said, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("seal a claim of %s: %w", k, err)
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString(said) + "." + enc.EncodeToString(proof(secrets[0], k, said)), nil
}

// open returns the claim that a token is of, if it is one of this key under any of
// the cluster's keys. Its error is ErrLost.
func open(secrets [][]byte, k keys.Key, token string) (Claim, error) {
	body, mac, ok := strings.Cut(token, ".")
	said, err := base64.RawURLEncoding.DecodeString(body)
	sum, macErr := base64.RawURLEncoding.DecodeString(mac)
	if !ok || err != nil || macErr != nil || len(token) > maxToken {
		return Claim{}, fmt.Errorf("%w: its token cannot be read; send the whole of what the grant says", ErrLost)
	}
	for _, secret := range secrets {
		if !hmac.Equal(sum, proof(secret, k, said)) {
			continue
		}
		var c Claim
		if err := json.Unmarshal(said, &c); err != nil || c.Name == "" {
			return Claim{}, fmt.Errorf("%w: its token says nothing that this release can read", ErrLost)
		}
		return c, nil
	}
	return Claim{}, fmt.Errorf("%w: no member of this cluster made its token for this key", ErrLost)
}

func proof(secret []byte, k keys.Key, said []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(k.Place())) // a place holds no NUL
	h.Write([]byte{0})
	h.Write(said)
	return h.Sum(nil)
}
