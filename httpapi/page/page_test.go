package page

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

// wire is the most that all files of the page may have together as they are sent.
const wire = 150_000

func serve(t *testing.T, p *Page, at string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, at, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	if !p.Serve(w, r) {
		t.Fatalf("%s is not there", at)
	}
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), body
}

func newPage(t *testing.T) *Page {
	t.Helper()
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every file is served with what keeps a browser from doing anything that is not the
// page's, compressed to who takes that, and not again to who has it.
func TestFiles(t *testing.T) {
	p := newPage(t)
	sent := 0
	for at := range p.files {
		a, plain := serve(t, p, at)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache", "Vary": "Accept-Encoding", "Content-Encoding": "",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", at, name, got, want)
			}
		}
		for _, rule := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "trusted-types 'none'"} {
			if !strings.Contains(a.Header.Get("Content-Security-Policy"), rule) {
				t.Errorf("%s: the policy lacks %q", at, rule)
			}
		}
		packed, bytes := serve(t, p, at, "Accept-Encoding", "br, gzip, deflate")
		if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == a.Header.Get("ETag") || unpacked(t, bytes) != string(plain) {
			t.Errorf("%s is not served compressed", at)
		}
		sent += len(bytes)
		if again, body := serve(t, p, at, "Accept-Encoding", "gzip", "If-None-Match", packed.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || len(body) > 0 {
			t.Errorf("%s is sent again to who has it: %d", at, again.StatusCode)
		}
		if plain, _ := serve(t, p, at, "Accept-Encoding", "gzip;q=0"); plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed for who does not take that", at)
		}
	}
	if sent > wire {
		t.Errorf("all files have %d bytes on the wire, want at most %d", sent, wire)
	}
}

func unpacked(t *testing.T, packed []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// What the page asks for is the page's own, and nothing in it makes markup, scripts or
// styles of text.
func TestNothingForeign(t *testing.T) {
	p := newPage(t)
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|\bon[a-z]+="|<style|style="|javascript:|document\.cookie`)
	named := regexp.MustCompile(`(?:\bfrom |href=|src=)['"]([^'"#\s]+)['"]`)
	for at, f := range p.files {
		text := string(f.plain.bytes)
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %q", at, found)
		}
		if at == Root+"icon.svg" {
			continue
		}
		if regexp.MustCompile(`https?://`).MatchString(strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")) {
			t.Errorf("%s names another host", at)
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if _, ok := p.files[path.Join(path.Dir(at), m[1])]; !ok {
				t.Errorf("%s asks for %s, which is not there", at, m[1])
			}
		}
	}
}

// The identity provider, and no other host, may be asked for a token.
func TestIssuerInThePolicy(t *testing.T) {
	p, err := New(Config{Issuer: "https://id.example.org/realms/a?b=c", ClientID: "page", Audience: "larder"})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := serve(t, p, Root)
	if got := a.Header.Get("Content-Security-Policy"); !strings.Contains(got, "connect-src 'self' https://id.example.org; ") {
		t.Errorf("the policy is %s", got)
	}
	if _, told := serve(t, p, Root+"signin.json"); string(told) != `{"issuer":"https://id.example.org/realms/a?b=c","client_id":"page","audience":"larder"}` {
		t.Errorf("the page is told %s", told)
	}
}

func TestPaths(t *testing.T) {
	p := newPage(t)
	for _, at := range []string{"/ui/index.html", "/ui/none.js", "/ui/assets/app.js", "/ui/../page.go", "/ui//", "/ui/%2e%2e/page.go"} {
		if p.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, at, nil)) {
			t.Errorf("%s is served", at)
		}
	}
	if a, _ := serve(t, p, "/ui"); a.StatusCode != http.StatusPermanentRedirect || a.Header.Get("Location") != Root {
		t.Errorf("/ui: %d %q", a.StatusCode, a.Header.Get("Location"))
	}
	w := httptest.NewRecorder()
	if !p.Serve(w, httptest.NewRequest(http.MethodHead, Root, nil)) || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("HEAD: %d bytes, %v", w.Body.Len(), w.Header())
	}
}
