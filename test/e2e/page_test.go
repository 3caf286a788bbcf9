package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// The page is served to anybody, and what other sites make a browser send is refused.
func TestPageOnTheWire(t *testing.T) {
	t.Parallel()
	ada := mint(t, "alpha", "ada", "writer")
	file := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, file, ada)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{"--tokens-file", file}}).Nodes[0]
	for _, path := range []string{"/ui/", "/ui/app.js", "/ui/style.css"} {
		a := do(t, "GET", n.URL()+path, nil).want(t, 200)
		if a.header.Get("Larder-Request") == "" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", path, a.header)
		}
	}
	if got := do(t, "GET", n.URL()+"/", nil, "Accept", "text/html,*/*;q=0.8").header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("a browser that asks for / gets %s", got)
	}
	do(t, "GET", n.URL()+"/", nil).wantProblem(t, 401, "no-credential")
	do(t, "GET", n.URL()+"/ui/none", nil).wantProblem(t, 401, "no-credential")
	do(t, "GET", n.URL()+"/ui/none", nil, ada.bearer()...).wantProblem(t, 404, "no-route")
	do(t, "PUT", n.URL()+"/ui/", nil, ada.bearer()...).wantProblem(t, 404, "no-route")

	// A browser says where a request comes from; programs do not.
	target := n.URL() + "/v1/objects/k"
	for _, from := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}} {
		do(t, "PUT", target, []byte("x"), append(ada.bearer(), from...)...).wantProblem(t, 403, "foreign-origin")
		do(t, "POST", n.URL()+"/v1/builds/objects/k", nil, append(ada.bearer(), from...)...).wantProblem(t, 403, "foreign-origin")
	}
	do(t, "PUT", target, []byte("x"), append(ada.bearer(), "Origin", n.URL(), "Sec-Fetch-Site", "same-origin")...).want(t, 201)

	// A script asks for the token itself; a browser would ask for a password.
	if got := do(t, "GET", target, nil, "X-Requested-With", "fetch").want(t, 401).header.Values("WWW-Authenticate"); len(got) != 1 || !strings.HasPrefix(got[0], "Bearer") {
		t.Errorf("WWW-Authenticate %q", got)
	}
	do(t, "GET", n.URL()+"/v1/cluster", nil, ada.bearer()...).wantProblem(t, 403, "read-only")
}

// whyOf is what is answered of a key.
type whyOf struct {
	Found    bool
	Text     string
	Expired  *string
	Building *struct{ Builder string }
	Settings map[string]string
	Differs  []struct{ Kind, Name string }
	Nearest  []struct {
		Key, Service, Text, Writer string
		Differs                    []struct{ Kind, Name string }
	}
}

// Each cause of a miss is staged, and is named as the nearest key's only differences.
func TestWhy(t *testing.T) {
	t.Parallel()
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true}).Nodes[0]
	const day, h, other = "2022-01-30T00:00:00+00:00", "41160d054edf7f0960015019d902b27e", "2317845f7eea8c7d8413ae7fe7687474"
	put := func(service, key string, header ...string) {
		t.Helper()
		do(t, "PUT", n.URL()+"/v1/"+service+"?key="+url.QueryEscape(key), []byte("x"), header...).want(t, 201)
	}
	ask := func(service, key, query string) (w whyOf) {
		t.Helper()
		a := do(t, "GET", n.URL()+"/v1/why/"+service+"?key="+url.QueryEscape(key)+query, nil).want(t, 200)
		if err := json.Unmarshal(a.body, &w); err != nil {
			t.Fatal(err)
		}
		return w
	}
	put("strategies", "DAX MOMENTUM|"+day+"||"+h, "Larder-Meta-Settings", `{"universe":"'DAX'","costs":"0.1"}`, "Larder-Meta-Python", "3.11.9", "Larder-Meta-Libraries", "pandas=2.2.0", "Larder-Meta-Code", "3.11:aa")
	put("strategies", "SPX CARRY|"+day+"||"+other, "Larder-Meta-Settings", `{"universe":"'SPX'","costs":"0.1"}`)
	put("strategies", "SPX CARRY|2021-02-01T00:00:00+00:00||"+h, "Larder-Meta-Settings", `{"universe":"'DAX'","costs":"0.1"}`)
	for _, key := range []string{"momentum(ticker='SAP', window=20)_2022-01-30", "risk/a b", "Größe", "prices.parquet", "levels_2022-01-30_" + h, "only objects"} {
		put("objects", key)
	}
	put("objects", "for a second", "Larder-Expires-In", "1")
	settings := func(text string) string { return "&settings=" + url.QueryEscape(text) }
	for _, tt := range []struct{ name, service, key, query, want string }{
		{"date", "strategies", "DAX MOMENTUM|2022-01-31T00:00:00+00:00||" + h, "", "date"},
		{"form of the date", "strategies", "DAX MOMENTUM|2022-01-30T00:00:00Z||" + h, "", "date_form"},
		{"hash that nothing explains", "strategies", "DAX MOMENTUM|" + day + "||abcd", "", "hash"},
		{"setting, as the caller says", "strategies", "DAX MOMENTUM|" + day + "||abcd", settings(`{"universe":"'SPX'","costs":"0.1"}`), "hash, setting universe"},
		{"setting, as another key of the hash says", "strategies", "SPX CARRY|" + day + "||" + h, "", "hash, setting universe"},
		{"setting that is new", "strategies", "DAX MOMENTUM|" + day + "||abcd", settings(`{"universe":"'DAX'","costs":"0.1","live":"True"}`), "hash, setting live"},
		{"setting that went", "strategies", "DAX MOMENTUM|" + day + "||abcd", settings(`{"universe":"'DAX'"}`), "hash, setting costs"},
		{"name", "strategies", "DAX MOMENTUN|" + day + "||" + h, "", "name"},
		{"capitals", "strategies", "Dax Momentum|" + day + "||" + h, "", "case"},
		{"spaces", "strategies", "DAX MOMENTUM |" + day + "||" + h, "", "space"},
		{"argument", "objects", "momentum(ticker='SIE', window=20)_2022-01-30", "", "argument ticker"},
		{"argument that is new", "objects", "momentum(ticker='SAP', window=20, lag=1)_2022-01-30", "", "argument lag"},
		{"date of an object", "objects", "momentum(ticker='SAP', window=20)_2022-01-31", "", "date"},
		{"hash of an object", "objects", "levels_2022-01-30_" + other, "", "hash"},
		{"escapes", "objects", "risk/a%20b", "", "escaped"},
		{"slashes", "objects", "/risk//a b", "", "slash"},
		{"Unicode", "objects", "Gro\u0308ße", "", "unicode"},
		{"end of the name", "objects", "prices", "", "name"},
		{"service", "objects", "DAX MOMENTUM|" + day + "||" + h, "", "service"},
	} {
		w := ask(tt.service, tt.key, tt.query)
		if w.Found || len(w.Nearest) == 0 {
			t.Errorf("%s: %+v", tt.name, w)
			continue
		}
		var kinds []string
		for _, d := range w.Nearest[0].Differs {
			kinds = append(kinds, strings.TrimSpace(d.Kind+" "+d.Name))
		}
		if got := strings.Join(kinds, ", "); got != tt.want || !strings.Contains(w.Text, w.Nearest[0].Text) || w.Nearest[0].Writer != "anonymous" {
			t.Errorf("%s: %s of %s, want %s: %s", tt.name, got, w.Nearest[0].Key, tt.want, w.Text)
		}
	}
	there := ask("strategies", "DAX MOMENTUM|"+day+"||"+h, "&python=3.12.1&libraries=pandas%3D2.3.0&code=3.11%3Abb")
	if got := fmt.Sprint(there.Differs); !there.Found || got != "[{library pandas} {python } {code }]" {
		t.Errorf("what is there, made otherwise: %+v", there)
	}
	if w := ask("objects", "zzz", ""); w.Found || len(w.Nearest) > 0 || !strings.Contains(w.Text, "nobody has stored it") {
		t.Errorf("nothing alike: %+v", w)
	}
	testcluster.Eventually(t, time.Minute, "what expired is said to have", func() error {
		if w := ask("objects", "for a second", ""); w.Expired == nil || !strings.Contains(w.Text, "expired at") {
			return fmt.Errorf("%+v", w)
		}
		return nil
	})
	do(t, "POST", n.URL()+"/v1/builds/objects/built-now", nil).want(t, 201)
	if w := ask("objects", "built-now", ""); w.Building == nil || w.Building.Builder != "anonymous" || !strings.Contains(w.Text, "being built") {
		t.Errorf("being built: %+v", w)
	}
	for _, query := range []string{"&settings=%7B", "&colour=red", "&python=1&python=2"} {
		do(t, "GET", n.URL()+"/v1/why/objects?key=k"+query, nil).wantProblem(t, 400, "bad-query")
	}
}
