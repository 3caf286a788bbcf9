package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/test/testcluster"
)

// askPage asks the admin port.
func askPage(t *testing.T, h http.Handler, path string, accept ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header["Accept"] = accept
	r.RemoteAddr = "127.0.0.1:1234"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// twoMembers are two nodes that see each other.
func twoMembers(t *testing.T) (a, b *cluster.Cluster) {
	t.Helper()
	start := func(name string, join ...string) *cluster.Cluster {
		c, err := cluster.New(cluster.Config{
			Name: name, GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Label: t.Name(), Join: join, Log: zerolog.Nop(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		return c
	}
	a = start("a")
	b = start("b<i>", a.GossipAddr())
	testcluster.Holds(t, "two members", func() bool { return len(a.Members()) == 2 && len(b.Members()) == 2 })
	return a, b
}

// The cluster's page and its metrics say the same of members and shares.
func TestClusterPage(t *testing.T) {
	a, _ := twoMembers(t)
	adm := New(zerolog.Nop())
	adm.Metrics.Cluster(a)
	h := adm.Handler(a)

	w := askPage(t, h, "/cluster")
	var got struct {
		Members []struct {
			Name, Peer string
			Started    time.Time
			Self       bool
			Share      float64
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, w.Body)
	}
	m := got.Members
	if len(m) != 2 || m[0].Name != "a" || !m[0].Self || m[1].Self || m[1].Peer == "" || m[1].Started.Before(time.Now().Add(-time.Hour)) {
		t.Fatalf("%s", w.Body)
	}
	if m[0].Share < 0.45 || math.Abs(m[0].Share+m[1].Share-1) > 1e-9 {
		t.Errorf("shares of %f and %f", m[0].Share, m[1].Share)
	}
	if v := value(t, adm.Metrics, "larder_ring_share_ratio"); v != m[0].Share {
		t.Errorf("the metric says %f", v)
	}
	if members, changes := value(t, adm.Metrics, "larder_cluster_members"), value(t, adm.Metrics, "larder_ring_changes_total"); members != 2 || changes != 1 {
		t.Errorf("the metrics say %v members, %v changes", members, changes)
	}

	w = askPage(t, h, "/cluster", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	for _, want := range []string{"2 members", "a (this node)", "b&lt;i&gt;", "share of keys", " %"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %q: %s", want, w.Body)
		}
	}
	if got := w.Header().Get("Content-Type"); got != "text/html; charset=utf-8" || w.Header().Get("Vary") != "Accept" {
		t.Errorf("%v", w.Header())
	}
}

func TestWantsHTML(t *testing.T) {
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"application/json"}, false},
		{[]string{"text/html"}, true},
		{[]string{"text/*"}, true},
		{[]string{"text/html, */*;q=0.8"}, true},
		{[]string{"application/xhtml+xml", "text/html;q=0.9"}, true},
		{[]string{"text/html;q=0.5, application/json"}, false},
		{[]string{"text/html;q=0, */*"}, false},
		{[]string{"TEXT/HTML"}, true},
		{[]string{";;,"}, false},
	} {
		if got := wantsHTML(c.accept); got != c.want {
			t.Errorf("Accept %q: %v", c.accept, got)
		}
	}
}

// Readiness says what is missing, one check after the other, and is not lost
// once it is there, until the node shuts down.
func TestReadiness(t *testing.T) {
	c, _ := twoMembers(t)
	a := New(zerolog.Nop())
	h := a.Handler(c)
	answers := func(status int, body string) bool {
		w := askPage(t, h, "/readyz")
		return w.Code == status && strings.TrimSpace(w.Body.String()) == body
	}
	if !answers(503, "starting") {
		t.Error("ready before it has begun")
	}
	var first, second atomic.Bool
	check := func(ok *atomic.Bool, missing string) func(context.Context) error {
		return func(context.Context) error {
			if ok.Load() {
				return nil
			}
			return errors.New(missing)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context(), check(&first, "no store"), check(&second, "no members")) }()
	testcluster.Holds(t, "the first check", func() bool { return answers(503, "no store") })
	first.Store(true)
	testcluster.Holds(t, "the second check", func() bool { return answers(503, "no members") })
	first.Store(false) // is not asked again
	second.Store(true)
	testcluster.Holds(t, "readiness", func() bool { return answers(200, "ready") })
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a.NotReady("shutting down")
	if !answers(503, "shutting down") {
		t.Error("ready while it shuts down")
	}
	if w := askPage(t, h, "/livez"); w.Code != 200 {
		t.Errorf("/livez answers %d", w.Code)
	}
	if w := askPage(t, h, "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "/readyz") {
		t.Errorf("/ answers %d %s", w.Code, w.Body)
	}
	if w := askPage(t, h, "/none"); w.Code != 404 {
		t.Errorf("/none answers %d", w.Code)
	}
	if w := askPage(t, h, "/debug/pprof/"); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("/debug/pprof/ answers %d", w.Code)
	}
}

// What is missing is logged once, and not at all if it is there at the second look.
func TestMissingIsLogged(t *testing.T) {
	var lines bytes.Buffer
	a := New(zerolog.New(&lines))
	missingFor := func(looks int, what string) func(context.Context) error {
		return func(context.Context) error {
			if looks--; looks < 0 {
				return nil
			}
			return errors.New(what)
		}
	}
	if err := a.Run(t.Context(), missingFor(1, "for a moment"), missingFor(4, "for long"), missingFor(1, "for another")); err != nil {
		t.Fatal(err)
	}
	if got := lines.String(); strings.Count(got, "not ready") != 1 || !strings.Contains(got, "for long") {
		t.Errorf("logged: %s", got)
	}
}

// The pages of the node's inside are for its own machine; those of probes and
// scrapes are for all. Names of the internet are for nobody on loopback.
func TestWhoMayLook(t *testing.T) {
	a, _ := twoMembers(t)
	h := New(zerolog.Nop()).Handler(a)
	inside := []string{"/cluster", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/symbol"}
	for _, c := range []struct {
		local, remote, host string
		open, inside        int
	}{
		{"127.0.0.1:9090", "127.0.0.1:5000", "127.0.0.1:9090", 200, 200},
		{"127.0.0.1:9090", "127.0.0.1:5000", "localhost:9090", 200, 200},
		{"127.0.0.1:9090", "127.0.0.1:5000", "evil.example", 403, 403},
		{"[::1]:9090", "[::1]:5000", "[::1]:9090", 200, 200},
		{"[::1]:9090", "[::1]:5000", "evil.example:9090", 403, 403},
		{"[::ffff:127.0.0.1]:9090", "[::ffff:127.0.0.1]:5000", "evil.example", 403, 403},
		{"10.0.0.1:9090", "10.0.0.2:5000", "10.0.0.1:9090", 200, 403},
		{"10.0.0.1:9090", "10.0.0.2:5000", "larder.example:9090", 200, 403},
		{"10.0.0.1:9090", "10.0.0.1:5000", "10.0.0.1:9090", 200, 403},
	} {
		at, err := net.ResolveTCPAddr("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append([]string{"/", "/livez", "/metrics"}, inside...) {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, at))
			r.RemoteAddr, r.Host = c.remote, c.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := c.open
			if slices.Contains(inside, path) {
				want = c.inside
			}
			if w.Code != want {
				t.Errorf("%s for %s from %s: %d, want %d", path, c.host, c.remote, w.Code, want)
			}
		}
	}
}
