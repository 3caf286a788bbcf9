package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
	"larder/test/testissuer"
)

// bearing is the header with a token.
func bearing(token string) []string { return []string{"Authorization", "Bearer " + token} }

// keysListed are those of a listing.
func keysListed(t *testing.T, n *testcluster.Node, query, token string) []string {
	t.Helper()
	a := do(t, "GET", n.URL()+"/v1/objects?"+query, nil, bearing(token)...).want(t, 200)
	var list struct {
		Keys []struct{ Key string }
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, k := range list.Keys {
		names = append(names, k.Key)
	}
	return names
}

// Tokens of an identity provider, of people by their claims and of Kubernetes' service
// accounts by the map file, on a node that runs.
func TestIssuedTokens(t *testing.T) {
	t.Parallel()
	key := testissuer.NewRSA(t, "one")
	provider := testissuer.New(t, key)
	mapFile := filepath.Join(t.TempDir(), "map.yaml")
	writeMap := func(text string) {
		must(t, os.WriteFile(mapFile+".new", []byte(text), 0o600))
		must(t, os.Rename(mapFile+".new", mapFile))
	}
	const jobs = `- {id: nightly, value: "system:serviceaccount:research:nightly", org: acme, user: nightly, role: writer, services: [objects], prefixes: [nightly/, shared/n]}` + "\n"
	writeMap(jobs)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{
		"--oidc-issuer", provider.URL, "--oidc-audience", testissuer.Audience, "--oidc-org-claim", "org", "--oidc-user-claim", "email",
		"--oidc-role-claim", "roles", "--oidc-map-file", mapFile,
	}}).Nodes[0]
	ada := key.Token(t, provider.Claims("1234", map[string]any{"email": "ada@acme.example", "org": "acme", "roles": []string{"writer"}}))
	job := key.Token(t, provider.Claims("system:serviceaccount:research:nightly", map[string]any{
		"kubernetes.io": map[string]any{"namespace": "research"},
	}))

	t.Run("who", func(t *testing.T) {
		for token, want := range map[string]string{
			ada: `"user":"ada@acme.example","role":"writer"}`,
			job: `"user":"nightly","role":"writer","services":["objects"],"prefixes":["nightly/","shared/n"]}`,
		} {
			if a := do(t, "GET", n.URL()+"/v1/whoami", nil, bearing(token)...).want(t, 200); !strings.Contains(string(a.body), want) {
				t.Errorf("%s, want %s", a.body, want)
			}
		}
	})
	t.Run("scope", func(t *testing.T) { testScope(t, n, ada, job) })
	t.Run("refused", func(t *testing.T) { testRefusedTokens(t, n, provider, key) })
	t.Run("map", func(t *testing.T) { testMapChanges(t, n, job, jobs, writeMap) })
	t.Run("down", func(t *testing.T) {
		provider.Down(true)
		defer provider.Down(false)
		again := key.Token(t, provider.Claims("1234", map[string]any{"email": "ada@acme.example", "org": "acme", "roles": "reader"}))
		do(t, "GET", object(n, "ada/k"), nil, bearing(again)...).want(t, 200)
	})
	for _, part := range []string{ada, job} {
		if strings.Contains(n.Log(), part[len(part)-60:]) || strings.Contains(n.Log(), part[:60]) {
			t.Error("the log holds a token")
		}
	}
}

// testScope: a job reaches what its entry names and nothing else, by any method.
func testScope(t *testing.T, n *testcluster.Node, ada, job string) {
	for _, k := range []string{"ada/k", "nightly/old", "shared/n1", "shared/m1"} {
		do(t, "PUT", object(n, k), []byte(k), bearing(ada)...).want(t, 201)
	}
	do(t, "PUT", object(n, "nightly/new"), []byte("x"), bearing(job)...).want(t, 201)
	do(t, "GET", object(n, "shared/n1"), nil, bearing(job)...).wantBody(t, []byte("shared/n1"))
	do(t, "DELETE", object(n, "nightly/old"), nil, bearing(job)...).want(t, 204)
	for _, target := range []string{
		object(n, "ada/k"), object(n, "shared/m1"), object(n, "shared/"), object(n, "nightly"), object(n, "x/nightly/k"),
		n.URL() + "/v1/objects?key=ada/k", n.URL() + "/v1/objects/ada%2Fk", n.URL() + "/v1/objects/absent",
		n.URL() + "/v1/strategies/" + url.PathEscape("nightly/|2022-01-30T00:00:00+00:00||ab"),
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			a := do(t, method, target, []byte("x"), bearing(job)...).want(t, 403)
			if method != "HEAD" && !strings.Contains(string(a.body), "out-of-scope") {
				t.Errorf("%s %s: %s", method, target, a.body)
			}
		}
	}
	for query, want := range map[string][]string{
		"prefix=nightly/": {"nightly/new"}, "": {"nightly/new", "shared/n1"}, "prefix=shared": {"shared/n1"}, "prefix=shared/n1": {"shared/n1"},
		"limit=1": {"nightly/new"},
	} {
		if got := keysListed(t, n, query, job); !slices.Equal(got, want) {
			t.Errorf("a listing of %q shows %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"prefix=ada", "prefix=shared/m", "prefix=x"} {
		do(t, "GET", n.URL()+"/v1/objects?"+query, nil, bearing(job)...).wantProblem(t, 403, "out-of-scope")
	}
	do(t, "GET", n.URL()+"/v1/strategies", nil, bearing(job)...).wantProblem(t, 403, "out-of-scope")
	a := do(t, "GET", n.URL()+"/v1/objects", nil, append(bearing(job), "Accept", "application/x-ndjson")...).want(t, 200)
	if bytes.Contains(a.body, []byte("ada/k")) || bytes.Count(a.body, []byte("\n")) != 2 {
		t.Errorf("a stream shows %s", a.body)
	}
}

func testRefusedTokens(t *testing.T, n *testcluster.Node, provider *testissuer.Issuer, key testissuer.Key) {
	claims := func(more map[string]any) map[string]any {
		c := provider.Claims("1234", map[string]any{"email": "eve@acme.example", "org": "acme", "roles": "admin"})
		for name, value := range more {
			c[name] = value
		}
		return c
	}
	before := provider.Fetches()
	tokens := map[string]string{
		"expired":        key.Token(t, claims(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})),
		"audience":       key.Token(t, claims(map[string]any{"aud": "kubernetes"})),
		"issuer":         key.Token(t, claims(map[string]any{"iss": "https://evil.example"})),
		"another's key":  testissuer.NewRSA(t, "one").Token(t, claims(nil)),
		"none":           "eyJhbGciOiJub25lIn0." + strings.Split(key.Token(t, claims(nil)), ".")[1] + ".",
		"no org":         key.Token(t, claims(map[string]any{"org": nil})),
		"no role":        key.Token(t, claims(map[string]any{"roles": "boss"})),
		"64 KiB":         strings.Split(key.Token(t, claims(nil)), ".")[0] + "." + strings.Repeat("A", 63<<10) + ".AA",
		"as a password?": "eyJ..",
	}
	for i := range 20 {
		tokens[fmt.Sprint("random key ", i)] = testissuer.Sign(t, key.Alg, key.Private, fmt.Sprint("random ", i), claims(nil))
	}
	for name, token := range tokens {
		a := do(t, "GET", object(n, "ada/k"), nil, bearing(token)...).want(t, 401)
		if !strings.Contains(string(a.body), "-credential") || strings.Contains(string(a.body), "not known here") && name != "as a password?" && !strings.Contains(name, "random") && name != "64 KiB" {
			t.Errorf("%s: %s", name, a.body)
		}
		if strings.Contains(n.Log(), token[len(token)/2:]) && len(token) > 100 {
			t.Errorf("%s: the log holds the token", name)
		}
	}
	if fetched := provider.Fetches() - before; fetched > 2 {
		t.Errorf("the keys were fetched %d times", fetched)
	}
}

// testMapChanges: an entry that is taken out is no longer good within seconds, on a
// connection that is kept and for a write whose body is under way.
func testMapChanges(t *testing.T, n *testcluster.Node, job, jobs string, write func(string)) {
	body, more := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", object(n, "nightly/long"), body)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+job)
	type result struct {
		status int
		body   []byte
	}
	answered := make(chan result, 1)
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			answered <- result{body: []byte(err.Error())}
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answered <- result{resp.StatusCode, b}
	}()
	_, err = more.Write([]byte("begun"))
	must(t, err)
	write("[]")
	testcluster.Eventually(t, 20*time.Second, "the entry is gone", func() error {
		if a := do(t, "GET", object(n, "nightly/new"), nil, bearing(job)...); a.status != 401 {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	must(t, more.Close())
	if r := <-answered; r.status != 401 {
		t.Errorf("the write that was under way: %d %s", r.status, r.body)
	}
	write(jobs)
	testcluster.Eventually(t, 20*time.Second, "the entry is back", func() error {
		if a := do(t, "GET", object(n, "nightly/new"), nil, bearing(job)...); a.status != 200 {
			return errors.New(string(a.body))
		}
		return nil
	})
	do(t, "GET", object(n, "nightly/long"), nil, bearing(job)...).want(t, 404)
}
