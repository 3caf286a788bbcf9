package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"testing"

	"larder/httpapi/auth"
	"larder/keys"
)

// found is the call that a request makes, as far as its path and query tell.
func found(method, target string) (*call, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	c := &call{
		Request: &http.Request{Method: method, URL: u}, w: &recorder{ResponseWriter: httptest.NewRecorder()},
		who: auth.Principal{Org: "acme", Role: auth.Admin}, query: u.Query(),
	}
	_, err = (&API{routes: routes()}).find(c)
	return c, err
}

func TestRoutes(t *testing.T) {
	for _, want := range []struct {
		target, service, key string
		op                   string // get, unless it says otherwise
		err                  error
	}{
		{target: "/v1/objects/k", service: "objects", key: "k"},
		{target: "/v1/objects/ab/cd", service: "objects", key: "ab/cd"},
		{target: "/v1/objects/ab%2Fcd", service: "objects", key: "ab/cd"},
		{target: "/v1/objects/a//b", service: "objects", key: "a//b"},
		{target: "/v1/objects//a", service: "objects", key: "/a"},
		{target: "/v1/objects/..", service: "objects", key: ".."},
		{target: "/v1/objects/a+b", service: "objects", key: "a+b"},
		{target: "/v1/objects?key=a%2Bb", service: "objects", key: "a+b"},
		{target: "/v1/objects/?key=..", service: "objects", key: ".."},
		{target: "/v1/strategies/A%7C2022-01-30T00:00:00Z%7C%7C1", service: "strategies", key: "A|2022-01-30T00:00:00Z||1"},
		{target: "/v1/strategies?key=A%7C2022-01-30T00:00:00Z%7C%7C1", service: "strategies", key: "A|2022-01-30T00:00:00Z||1"},
		{target: "/v1/objects", service: "objects", op: "list"},
		{target: "/v1/objects/", service: "objects", op: "list"},
		{target: "/v1/whoami", op: "whoami"},
		{target: "/v1/whoami?key=a", op: "whoami"},
		{target: "/v1/whoami/", err: errNoRoute},
		{target: "/v1/objects/a?key=b", err: keys.ErrBadKey},
		{target: "/v1/objects?key=a&key=b", err: keys.ErrBadKey},
		{target: "/v1/objects?key=", err: keys.ErrBadKey},
		{target: "/v1/others/a", err: errNoRoute},
		{target: "/v1/objectsa", err: errNoRoute},
		{target: "/v1/", err: errNoRoute},
		{target: "/v2/objects/a", err: errNoRoute},
		{target: "/", err: errNoRoute},
	} {
		if want.op == "" {
			want.op = "get"
		}
		c, err := found(http.MethodGet, want.target)
		if !errors.Is(err, want.err) || err == nil && (c.service != want.service || c.key.Name != want.key || c.op != want.op) {
			t.Errorf("%s: %q %q %q %v", want.target, c.op, c.service, c.key.Name, err)
		}
	}
}

// What is there answers other methods with those that it has.
func TestMethods(t *testing.T) {
	for target, allow := range map[string]string{
		"/v1/objects/k": "GET, HEAD, PUT, DELETE", "/v1/objects?key=k": "GET, HEAD, PUT, DELETE",
		"/v1/objects": "GET, HEAD, DELETE", "/v1/strategies/": "GET, HEAD, DELETE", "/v1/whoami": "GET, HEAD", "/v1/batch/objects": "POST",
	} {
		c, err := found("PATCH", target)
		if !errors.Is(err, errMethod) || c.w.Header().Get("Allow") != allow {
			t.Errorf("%s: %v, Allow: %s", target, err, c.w.Header().Get("Allow"))
		}
	}
}

func FuzzKeyText(f *testing.F) {
	f.Add("a//b/../c%")
	f.Fuzz(func(t *testing.T, key string) {
		if key == "" {
			return
		}
		for escaped, query := range map[string]url.Values{url.PathEscape(key): nil, "": {"key": {key}}} {
			if got, err := keyText(escaped, query); err != nil || got != key {
				t.Errorf("%q came out as %q, %v", key, got, err)
			}
		}
	})
}

// TestPathOf holds that the path of a key leads to that key, also where a proxy decodes
// and cleans it.
func TestPathOf(t *testing.T) {
	for _, name := range []string{"k", "a/b", "a b", "a+b", "é", "a&b=c", "a%2Fb", "a?b", "a#b", "a;b", `a\b`, "a//b", "/a", "a/", "a/./b", "a/../b", "..", ".", "a/.", "a/...", "../strategies/k"} {
		k, err := keys.New("acme", keys.Objects, name)
		if err != nil {
			t.Fatal(err)
		}
		target := pathOf(k)
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		u.Path, u.RawPath = path.Clean(u.Path), ""
		for _, target := range []string{target, u.String()} {
			if c, err := found("GET", target); err != nil || c.key != k || c.op != "get" {
				t.Errorf("%q is at %s, where %s of %v is: %v", name, target, c.op, c.key, err)
			}
		}
	}
}
