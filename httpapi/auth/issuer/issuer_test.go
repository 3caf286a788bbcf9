package issuer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"larder/httpapi/auth"
	"larder/test/testcluster"
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
	testcluster.Holds(t, "the token has ended", func() bool {
		_, err := i.Verify(t.Context(), token)
		return errors.Is(err, auth.ErrExpired)
	})
}
