package issuer

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"larder/httpapi/auth"
	"larder/test/testissuer"
)

// unsigned is a token with this header and no signature.
func unsigned(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(header) + "." + part(claims) + "."
}

// bad are tokens that must not be taken.
func bad(t testing.TB, provider *testissuer.Issuer, key testissuer.Key) map[string]string {
	t.Helper()
	now := time.Now()
	good := map[string]any{"org": "acme", "roles": "writer"}
	with := func(name string, value any) map[string]any {
		c := provider.Claims("ada", good)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	der, err := x509.MarshalPKIXPublicKey(key.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	signed := key.Token(t, provider.Claims("ada", good))
	parts := strings.Split(signed, ".")
	other := key.Token(t, provider.Claims("eve", good))
	return map[string]string{
		"expired":             key.Token(t, with("exp", now.Add(-leeway-2*time.Second).Unix())),
		"without an end":      key.Token(t, with("exp", nil)),
		"not yet":             key.Token(t, with("nbf", now.Add(leeway+time.Minute).Unix())),
		"another audience":    key.Token(t, with("aud", "other")),
		"other audiences":     key.Token(t, with("aud", []string{"a", "b"})),
		"no audience":         key.Token(t, with("aud", nil)),
		"another issuer":      key.Token(t, with("iss", provider.URL+"/")),
		"no issuer":           key.Token(t, with("iss", nil)),
		"another's key":       testissuer.NewRSA(t, key.ID).Token(t, provider.Claims("ada", good)),
		"an unknown key":      testissuer.NewRSA(t, "unknown").Token(t, provider.Claims("ada", good)),
		"none":                unsigned(t, map[string]any{"alg": "none", "typ": "JWT"}, provider.Claims("ada", good)),
		"none with a key":     unsigned(t, map[string]any{"alg": "None", "kid": key.ID}, provider.Claims("ada", good)),
		"no signature":        parts[0] + "." + parts[1] + ".",
		"HMAC of the key":     testissuer.Sign(t, jose.HS256, public, key.ID, provider.Claims("ada", good)),
		"HMAC of its bytes":   testissuer.Sign(t, jose.HS256, der, key.ID, provider.Claims("ada", good)),
		"claims of another":   parts[0] + "." + strings.Split(other, ".")[1] + "." + parts[2],
		"cut short":           signed[:len(signed)-1],
		"two parts":           parts[0] + "." + parts[1],
		"a key of its own":    unsigned(t, map[string]any{"alg": "RS256", "jwk": map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, provider.Claims("ada", good)) + "AA",
		"claims of no JSON":   parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte("[]")) + "." + parts[2],
		"encrypted":           "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AA.AA.AA.AA",
		"long":                parts[0] + "." + strings.Repeat("A", 60<<10) + "." + parts[2],
		"a long header":       strings.Repeat("A", 60<<10) + "." + parts[1] + "." + parts[2],
		"two tokens in one":   signed + "." + signed,
		"a different padding": signed + "=",
	}
}

func TestRefusedTokens(t *testing.T) {
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	i, log := open(t, provider, "")
	for name, token := range bad(t, provider, key) {
		p, err := i.Verify(t.Context(), token)
		if err == nil || p != (auth.Principal{}) || !errors.Is(err, auth.ErrRefused) && !errors.Is(err, auth.ErrExpired) {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		for _, part := range strings.Split(token, ".") {
			if len(part) > 8 && (strings.Contains(err.Error(), part) || strings.Contains(log.String(), part)) {
				t.Errorf("%s: the error or the log holds a part of the token: %v", name, err)
			}
		}
	}
	if n := provider.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// BenchmarkRefused is what a token that is not good costs.
func BenchmarkRefused(b *testing.B) {
	key := testissuer.NewRSA(b, "one")
	provider := testissuer.New(b, key)
	i, _ := open(b, provider, "")
	i.keys.fetch(context.Background())
	for name, token := range bad(b, provider, key) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, err := i.Verify(context.Background(), token); err == nil {
					b.Fatal("it is good")
				}
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	key := testissuer.NewECDSA(f, "one")
	provider := testissuer.New(f, key)
	i, _ := open(f, provider, mapFile)
	i.keys.fetch(context.Background())
	good := key.Token(f, provider.Claims("ada", map[string]any{"org": "acme", "roles": "writer"}))
	parts := strings.Split(good, ".")
	f.Add(parts[0], parts[1], parts[2])
	for _, token := range bad(f, provider, key) {
		if p := strings.Split(token, "."); len(p) == 3 && len(token) < 10_000 {
			f.Add(p[0], p[1], p[2])
		}
	}
	signed := parts[0] + "." + parts[1]
	f.Fuzz(func(t *testing.T, header, claims, signature string) {
		token := header + "." + claims + "." + signature
		p, err := i.Verify(context.Background(), token)
		if err == nil && header+"."+claims != signed {
			t.Fatalf("%q is good", token)
		}
		if err == nil && (p.Org != "acme" || p.User != "ada" || p.Role != auth.Writer) || err != nil && p != (auth.Principal{}) {
			t.Fatalf("%q: %+v, %v", token, p, err)
		}
		if err != nil && !errors.Is(err, auth.ErrRefused) && !errors.Is(err, auth.ErrExpired) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}
