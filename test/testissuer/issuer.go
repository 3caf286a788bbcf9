// Package testissuer is an identity provider for tests: the two documents of OpenID
// Connect that a node reads, tokens of all kinds, and the code flow by which a browser
// gets one. It listens on loopback until its
// test ends, and is safe for concurrent use.
package testissuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Audience is what Token issues tokens for.
const Audience = "larder"

// Issuer is a provider.
type Issuer struct {
	URL string

	t      testing.TB
	server *httptest.Server

	mu      sync.Mutex // guards the fields below
	keys    []Key      // that it shows
	fetches int        // of its keys
	down    bool
	person  map[string]any        // who signs in; nobody without claims
	codes   map[string]url.Values // that were given, with what was asked
}

// Key is one of the provider's.
type Key struct {
	ID      string
	Private crypto.Signer
	Alg     jose.SignatureAlgorithm
}

// NewRSA makes a key for RS256, NewECDSA one for ES256.
func NewRSA(t testing.TB, id string) Key {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return Key{ID: id, Private: key, Alg: jose.RS256}
}

// NewECDSA makes a key for ES256.
func NewECDSA(t testing.TB, id string) Key {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{ID: id, Private: key, Alg: jose.ES256}
}

// New starts a provider that shows these keys.
func New(t testing.TB, keys ...Key) *Issuer {
	i := &Issuer{t: t, keys: keys}
	i.server = httptest.NewServer(i)
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

// ServeHTTP answers with the provider's documents.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	switch {
	case i.down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case r.URL.Path == "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		})
	case r.URL.Path == "/authorize":
		i.authorize(w, r)
	case r.URL.Path == "/token":
		i.token(w, r)
	case r.URL.Path == "/keys":
		i.fetches++
		var set jose.JSONWebKeySet
		for _, k := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: string(k.Alg), Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	default:
		http.NotFound(w, r)
	}
}

// Person makes somebody with these claims sign in whom a browser brings.
func (i *Issuer) Person(claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.person = claims
}

// authorize signs the person in and sends the browser back with a code.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	back, err := url.Parse(asked.Get("redirect_uri"))
	if err != nil || asked.Get("response_type") != "code" || asked.Get("code_challenge_method") != "S256" {
		http.Error(w, "not a request for a code with PKCE", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {asked.Get("state")}}
	if i.person == nil {
		answer.Set("error", "access_denied")
	} else {
		code := rand.Text()
		i.codes = map[string]url.Values{code: asked}
		answer.Set("code", code)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token gives the token of a code, once, to who has the verifier of its challenge.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	asked := i.codes[r.FormValue("code")]
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if asked == nil || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") ||
		r.FormValue("redirect_uri") != asked.Get("redirect_uri") || r.FormValue("client_id") != asked.Get("client_id") {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant"})
		return
	}
	i.codes = nil
	claims := i.Claims("1234", map[string]any{"nonce": asked.Get("nonce")})
	maps.Copy(claims, i.person)
	_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "opaque", "token_type": "Bearer", "id_token": i.keys[0].Token(i.t, claims)})
}

// Show replaces the keys that are shown.
func (i *Issuer) Show(keys ...Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// Down makes the provider answer 503, or no longer.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Fetches is how often the keys were fetched.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// Claims are those of a good token of this subject, and these besides, which go before.
func (i *Issuer) Claims(subject string, more map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "aud": Audience, "sub": subject, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(c, more)
	return c
}

// Token signs claims.
func (k Key) Token(t testing.TB, claims map[string]any) string {
	t.Helper()
	return Sign(t, k.Alg, k.Private, k.ID, claims)
}

// Sign signs claims with any key.
func Sign(t testing.TB, alg jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
