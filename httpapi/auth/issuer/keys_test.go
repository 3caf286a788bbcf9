package issuer

import (
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

	"github.com/rs/zerolog"

	"larder/httpapi/auth"
	"larder/test/testissuer"
)

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

// A provider that is back is asked by a token a second later, and not ten.
func TestProviderIsBack(t *testing.T) {
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	provider.Down(true)
	i, _ := open(t, provider, "")
	token := key.Token(t, provider.Claims("ada", map[string]any{"org": "acme", "roles": "writer"}))
	if _, err := i.Verify(t.Context(), token); err == nil {
		t.Fatal("a token is good before the provider has answered")
	}
	provider.Down(false)
	i.keys.mu.Lock()
	i.keys.tried = time.Now().Add(-failedPause)
	i.keys.mu.Unlock()
	if _, err := i.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	if n := provider.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
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
