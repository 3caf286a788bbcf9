package page

import (
	"testing"

	"larder/test/testcluster"
	"larder/test/testissuer"
)

// People sign in at an identity provider, by a code and PKCE, and come back to where they
// were; who is refused there is told.
func TestSignInAtAProvider(t *testing.T) {
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{
		"--oidc-issuer", provider.URL, "--oidc-audience", testissuer.Audience, "--oidc-client-id", "larder-page", "--oidc-org-claim", "org", "--oidc-user-claim", "email",
	}}).Nodes[0]
	w := open(t).tab(n.URL() + "/ui/#/find?prefix=nothing")
	w.press("Sign in there")
	w.shows(".problem", "access_denied")
	provider.Person(map[string]any{"org": "acme", "email": "ada@acme.example"})
	w.press("Sign in there")
	w.shows("#account", "ada@acme.example")
	w.shows("#results", "No key begins with nothing")
	if at := js[string](w, `location.href`); at != n.URL()+"/ui/#/find?prefix=nothing&service=objects" && at != n.URL()+"/ui/#/find?service=objects&prefix=nothing" {
		t.Errorf("the address is %s", at)
	}
}
