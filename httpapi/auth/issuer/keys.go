package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// fetchAtMost bounds an answer of the provider, in bytes, and fetchLimit the time
	// for its two documents.
	fetchAtMost = 1 << 20
	fetchLimit  = 5 * time.Second
	// fetchPause is the least time from one fetch to the next, whatever callers send, and
	// failedPause that after a fetch that brought no keys.
	fetchPause  = 10 * time.Second
	failedPause = time.Second
	keysAtMost  = 100
	minRSA      = 2048 // bits
	maxRSA      = 8192
)

// errUnknownKey says that no key of the provider has the ID that a token names.
var errUnknownKey = errors.New("the issuer has no such key")

// algorithms are those by which a token may be signed: none that both sides share a
// secret for, and not "none".
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// keySet are the provider's keys as they were last fetched. Keys stay good while the
// provider does not answer.
type keySet struct {
	issuer string
	client *http.Client
	// token is what the provider's documents are asked with; it may return "".
	token   func() (string, error)
	changed func() // called after the keys have changed
	told    func(error)

	mu      sync.Mutex // guards the fields below
	keys    []jose.JSONWebKey
	tried   time.Time     // when the last fetch began
	failed  error         // what came of it
	running chan struct{} // closed when the fetch that is under way has ended; nil if there is none
}

// VerifySignature returns what a token signs. go-oidc calls it.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := s.verify(ctx, token)
	if why, ok := ctx.Value(whyKey{}).(*error); ok {
		*why = err
	}
	return payload, err
}

func (s *keySet) verify(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("not one signature")
	}
	header := jws.Signatures[0].Header
	keys := s.named(header.KeyID)
	if len(keys) == 0 {
		s.fetch(ctx)
		if keys = s.named(header.KeyID); len(keys) == 0 {
			return nil, errUnknownKey
		}
	}
	for _, key := range keys {
		if key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(&key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer made the signature")
}

// named are the keys of an ID, or all for a token that names none.
func (s *keySet) named(id string) (keys []jose.JSONWebKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.keys {
		if id == "" || key.KeyID == id {
			keys = append(keys, key)
		}
	}
	return keys
}

// fetch fetches the keys, unless that was tried a moment ago, or waits for a fetch that
// is under way, at most as long as ctx lasts.
func (s *keySet) fetch(ctx context.Context) {
	s.mu.Lock()
	running := s.running
	if running == nil {
		pause := fetchPause
		if s.failed != nil {
			pause = failedPause
		}
		if !s.tried.IsZero() && time.Since(s.tried) < pause {
			s.mu.Unlock()
			return
		}
		running = make(chan struct{})
		s.running, s.tried = running, time.Now()
		go s.load(context.WithoutCancel(ctx), running) // ends within fetchLimit
	}
	s.mu.Unlock()
	select {
	case <-running:
	case <-ctx.Done():
	}
}

// load takes the keys that the provider has now.
func (s *keySet) load(ctx context.Context, done chan struct{}) {
	defer close(done)
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	keys, err := s.ask(ctx)
	s.mu.Lock()
	s.running, s.failed = nil, err
	changed := err == nil && !same(s.keys, keys)
	if err == nil {
		s.keys = keys
	}
	s.mu.Unlock()
	if changed {
		s.changed()
	}
	s.told(err)
}

// same reports whether two sets of keys are one. They are short.
func same(a, b []jose.JSONWebKey) bool {
	one, err := json.Marshal(a)
	other, otherErr := json.Marshal(b)
	return err == nil && otherErr == nil && string(one) == string(other)
}

// state is how many keys there are, and why the last fetch failed, if it did.
func (s *keySet) state() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys), s.failed
}

// ask reads the provider's description (OpenID Connect Discovery 1.0, section 4) and
// the keys that it names.
func (s *keySet) ask(ctx context.Context) ([]jose.JSONWebKey, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != s.issuer {
		return nil, fmt.Errorf("it calls itself %q: --oidc-issuer must be the same", about.Issuer)
	}
	if err := checkURL(about.Keys); err != nil {
		return nil, fmt.Errorf("its jwks_uri: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, about.Keys, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && isUseful(key) && len(keys) < keysAtMost { // others may have keys of kinds that are not known here
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no public key for signatures", about.Keys)
	}
	return keys, nil
}

// isUseful reports whether a key is a public one for signatures, and not too weak or
// too slow.
func isUseful(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

func (s *keySet) get(ctx context.Context, from string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	token, err := s.token()
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, fetchAtMost))
	if err != nil {
		return fmt.Errorf("get %s: %w", from, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: it answers %s", from, resp.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("get %s: it answers no JSON of that kind: %w", from, err)
	}
	return nil
}

// checkURL refuses what keys must not be fetched from: whoever is on the way could give
// other ones.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return fmt.Errorf("%q is not a URL such as https://login.example.com", text)
	case u.Scheme == "https":
	case u.Scheme != "http" || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" && u.Hostname() != "localhost":
		return fmt.Errorf("%q is not https: whoever is on the way could give keys of their own", text)
	}
	return nil
}
