package issuer

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"larder/auth"
	"larder/test/testissuer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func anyOrg(org string) error {
	if org == "" || strings.ToLower(org) != org {
		return errors.New("not that one")
	}
	return nil
}

// open makes an Issuer of the provider's tokens, whose keys are not fetched yet.
func open(t testing.TB, provider *testissuer.Issuer, mapFile string) (*Issuer, *bytes.Buffer) {
	t.Helper()
	m := auth.NewMapping(anyOrg)
	m.Org, m.Role = "org", "roles"
	log := &bytes.Buffer{}
	i, err := New(Config{URL: provider.URL, Audience: testissuer.Audience, Mapping: m, Log: zerolog.New(zerolog.SyncWriter(log))})
	if err != nil {
		t.Fatal(err)
	}
	if mapFile != "" {
		if err := i.Take([]byte(mapFile)); err != nil {
			t.Fatal(err)
		}
	}
	return i, log
}

const mapFile = `
- {id: nightly, value: "system:serviceaccount:research:nightly", org: acme, user: nightly, role: writer, prefixes: [nightly/]}
- {id: research, value: "system:serviceaccount:research:*", org: acme, role: reader}
- {id: quants, claim: groups, value: quants, org: acme, role: admin}
- {id: deep, claim: realm_access.roles, value: larder, org: acme, role: writer}
`

func TestWhoseTokenItIs(t *testing.T) {
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	i, _ := open(t, provider, mapFile)
	for _, c := range []struct {
		subject string
		more    map[string]any
		want    string // org user role credential, or what the error says
	}{
		{"system:serviceaccount:research:nightly", nil, "acme nightly writer nightly"},
		{"system:serviceaccount:research:other", nil, "acme system:serviceaccount:research:other reader research"},
		{"system:serviceaccount:else:nightly", nil, "the claim org has 0 texts"},
		{"ada", map[string]any{"groups": []string{"x", "quants"}}, "acme ada admin quants"},
		{"ada", map[string]any{"groups": "quants"}, "acme ada admin quants"},
		{"ada", map[string]any{"realm_access": map[string]any{"roles": []any{"larder", 7}}}, "acme ada writer deep"},
		{"ada", map[string]any{"org": "beta", "roles": "writer"}, "beta ada writer claims"},
		{"ada", map[string]any{"org": "beta", "roles": []string{"offline_access", "reader", "admin"}}, "beta ada admin claims"},
		{"ada", map[string]any{"org": "beta"}, "names no role"},
		{"ada", map[string]any{"org": "beta", "roles": "Admin"}, "names no role"},
		{"ada", map[string]any{"org": []string{"beta", "acme"}, "roles": "reader"}, "the claim org has 2 texts"},
		{"ada", map[string]any{"org": "BETA", "roles": "reader"}, "org is not the name of one"},
		{"a\nb", map[string]any{"org": "beta", "roles": "reader"}, "control characters"},
		{"", map[string]any{"org": "beta", "roles": "reader"}, "the claim sub has"},
	} {
		p, err := i.Verify(t.Context(), key.Token(t, provider.Claims(c.subject, c.more)))
		said := fmt.Sprint(p.Org, " ", p.User, " ", p.Role, " ", p.TokenID)
		if err != nil {
			said = err.Error()
			if !errors.Is(err, auth.ErrRefused) || p != (auth.Principal{}) {
				t.Errorf("%s %v: %+v, %v", c.subject, c.more, p, err)
			}
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%s %v: %s, want %s", c.subject, c.more, said, c.want)
		}
	}
}

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

// Keys that the provider shows later are found, those that it shows no longer are
// refused, also for what was verified before, and nobody makes it answer more often.
func TestKeysChange(t *testing.T) {
	first, second := testissuer.NewRSA(t, "first"), testissuer.NewECDSA(t, "second")
	provider := testissuer.New(t, first)
	i, _ := open(t, provider, "")
	claims := provider.Claims("ada", map[string]any{"org": "acme", "roles": "writer"})
	verify := func(k testissuer.Key) error {
		_, err := i.Verify(t.Context(), k.Token(t, claims))
		return err
	}
	again := func() { // the pause is over
		i.keys.mu.Lock()
		defer i.keys.mu.Unlock()
		i.keys.tried = time.Now().Add(-fetchPause)
	}
	token := first.Token(t, claims)
	if _, err := i.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	provider.Show(first, second)
	if err := verify(second); !errors.Is(err, auth.ErrRefused) || !strings.Contains(err.Error(), "does not have") {
		t.Errorf("within the pause: %v", err)
	}
	again()
	if err := verify(second); err != nil {
		t.Errorf("a new key: %v", err)
	}
	provider.Show(second)
	again()
	if err := verify(testissuer.NewRSA(t, "third")); err == nil { // which has the keys fetched
		t.Error("a key that is nobody's is good")
	}
	if _, err := i.Verify(t.Context(), token); err == nil {
		t.Error("a token that was verified before its key was withdrawn is good still")
	}

	provider.Down(true)
	again()
	if err := verify(testissuer.NewRSA(t, "third")); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("an unknown key while the provider is down: %v", err)
	}
	if err := verify(second); err != nil {
		t.Errorf("a known key while the provider is down: %v", err)
	}
}

func TestFetchesAreBounded(t *testing.T) {
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	i, _ := open(t, provider, "")
	claims := provider.Claims("ada", map[string]any{"org": "acme", "roles": "writer"})
	var wg sync.WaitGroup
	for n := range 64 {
		token := testissuer.Sign(t, key.Alg, key.Private, fmt.Sprint("random ", n), claims)
		wg.Go(func() {
			if _, err := i.Verify(t.Context(), token); err == nil {
				t.Error("an unknown key is good")
			}
		})
	}
	wg.Wait()
	if n := provider.Fetches(); n != 1 {
		t.Errorf("64 unknown keys had the keys fetched %d times", n)
	}
}

// A token that was verified costs no signature, until it ends or the map changes.
func TestRemembered(t *testing.T) {
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	i, _ := open(t, provider, mapFile)
	i.keys.fetch(t.Context()) // new keys make it forget
	token := key.Token(t, provider.Claims("system:serviceaccount:research:other", map[string]any{"exp": time.Now().Add(2*time.Second - leeway).Unix()}))
	p, err := i.Verify(t.Context(), token)
	if err != nil || p.Role != auth.Reader {
		t.Fatal(p, err)
	}
	if _, ok := i.proven.Get(token); !ok {
		t.Error("it is not remembered")
	}
	if err := i.Take([]byte(strings.ReplaceAll(mapFile, "role: reader", "role: writer"))); err != nil {
		t.Fatal(err)
	}
	if p, err := i.Verify(t.Context(), token); err != nil || p.Role != auth.Writer {
		t.Errorf("after the map has changed: %+v, %v", p, err)
	}
	if err := i.Take([]byte("- {id: x}")); err == nil {
		t.Error("a bad map is taken")
	}
	if p, err := i.Verify(t.Context(), token); err != nil || p.Role != auth.Writer {
		t.Errorf("after a bad map: %+v, %v", p, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err = i.Verify(t.Context(), token); errors.Is(err, auth.ErrExpired) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not end: %v", err)
		}
	}
}

// The provider's answers are not believed beyond what they are for.
func TestProvidersOfNoUse(t *testing.T) {
	var answer func(path string) string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if said := answer(r.URL.Path); strings.HasPrefix(said, "http") {
			http.Redirect(w, r, said, http.StatusFound)
		} else {
			_, _ = fmt.Fprint(w, said)
		}
	}))
	defer server.Close()
	about := func(keys string) string {
		return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, server.URL, keys)
	}
	for name, c := range map[string]struct{ about, keys, says string }{
		"no JSON":           {"<html>", "", "no JSON"},
		"another":           {`{"issuer":"https://evil.example","jwks_uri":"https://evil.example"}`, "", "calls itself"},
		"keys in the clear": {about("http://evil.example/keys"), "", "is not https"},
		"elsewhere":         {"https://evil.example/", "", "302"},
		"no keys":           {about(server.URL + "/keys"), `{"keys":[]}`, "no public key"},
		"a shared secret":   {about(server.URL + "/keys"), `{"keys":[{"kty":"oct","k":"AAAA","kid":"one"}]}`, "no public key"},
		"a weak key":        {about(server.URL + "/keys"), `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"one"}]}`, "no public key"},
		"endless":           {strings.Repeat(" ", fetchAtMost+1), "", "no JSON"},
	} {
		answer = func(path string) string {
			if path == "/keys" {
				return c.keys
			}
			return c.about
		}
		i, err := New(Config{URL: server.URL, Audience: "a", Mapping: auth.NewMapping(anyOrg), Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		i.keys.fetch(t.Context())
		if n, err := i.keys.state(); n != 0 || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
	}
	for _, wrong := range []string{"", "login", "http://login.example.com", "ftp://x", "https://u:p@login.example.com"} {
		if _, err := New(Config{URL: wrong, Mapping: auth.NewMapping(anyOrg)}); err == nil {
			t.Errorf("%q is taken for an issuer", wrong)
		}
	}
}

// A provider with a certificate of its own, which wants to know who asks, as
// Kubernetes' API server does.
func TestProviderOfKubernetes(t *testing.T) {
	dir := t.TempDir()
	var server *httptest.Server
	asked := make(chan string, 10)
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization")
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys","keys":[]}`, server.URL, server.URL)
	}))
	defer server.Close()
	ca, token := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	for file, b := range map[string][]byte{
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), token: []byte("the node's\n"),
	} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i, err := New(Config{URL: server.URL, Audience: "a", CAFile: ca, TokenFile: token, Mapping: auth.NewMapping(anyOrg), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	i.keys.fetch(t.Context())
	if said := <-asked; said != "Bearer the node's" {
		t.Errorf("the provider is asked with %q", said)
	}
	without, err := New(Config{URL: server.URL, Audience: "a", Mapping: auth.NewMapping(anyOrg), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	without.keys.fetch(t.Context())
	if _, err := without.keys.state(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its authority: %v", err)
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
