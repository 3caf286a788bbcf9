//go:build issuer

package page

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"larder/test/testcluster"
)

// issuer is a program of others: the example server of github.com/zitadel/oidc/v3.
var issuer = flag.String("issuer", "", "an identity provider; 'make issuer' installs it")

// keysAgain is how long a node asks for no keys after it has, even if a token names a new one.
const keysAgain = 11 * time.Second

// zitadel starts the provider, whose keys are new each time.
func zitadel(t *testing.T, addr, back string) *testcluster.Process {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	p := testcluster.NewProcess(t, "zitadel", t.TempDir(), append(os.Environ(), "PORT="+port, "REDIRECT_URI="+back), func() []string { return []string{*issuer} })
	p.Launch()
	testcluster.Soon(t, func() error {
		resp, err := http.Get("http://localhost:" + port + "/.well-known/openid-configuration")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	})
	return p
}

// Somebody signs in at a provider that others wrote, and signs in again after its keys have
// changed. The token that the first key signed is as good as before, until it is forgotten there.
func TestSignInAtZitadel(t *testing.T) {
	addr := testcluster.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	people := filepath.Join(t.TempDir(), "map.yaml")
	if err := os.WriteFile(people, []byte("- {id: people, value: id1, org: acme, user: ada, role: writer}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{
		"--oidc-issuer", "http://localhost:" + port + "/", "--oidc-audience", "native", "--oidc-client-id", "native", "--oidc-map-file", people,
	}}).Nodes[0]
	provider := zitadel(t, addr, n.URL()+"/ui/")
	b := open(t)
	first := signIn(b, n)
	whoami(t, n, first, http.StatusOK)
	provider.Kill()
	zitadel(t, addr, n.URL()+"/ui/")
	<-time.After(keysAgain)
	second := signIn(b, n)
	whoami(t, n, second, http.StatusOK)
	for _, spoilt := range []string{second[:len(second)-8] + "AAAAAAAA", strings.ToUpper(second), second + ".x"} {
		whoami(t, n, spoilt, http.StatusUnauthorized)
	}
	for _, token := range []string{first, second} {
		if strings.Contains(n.Log(), token[len(token)-60:]) {
			t.Error("the log holds a token")
		}
	}
}

// signIn opens the page in a new window, signs in, and returns the token that the page keeps.
func signIn(b browser, n *testcluster.Node) string {
	b.t.Helper()
	w := b.tab(n.URL() + "/ui/#/find?prefix=nothing")
	w.press("Sign in there")
	w.types("#username", "test-user@localhost")
	w.types("#password", "verysecure")
	w.do(chromedp.Click(chromedp.CSS("button")))
	w.shows("#account", "ada")
	w.shows("#results", "No key begins with nothing")
	return js[string](w, `Object.values(sessionStorage).find((v) => v.split(".").length === 3)`)
}

func whoami(t *testing.T, n *testcluster.Node, token string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL()+"/v1/whoami", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("whoami: %s, want %d", resp.Status, want)
	}
}
