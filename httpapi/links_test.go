package httpapi

import (
	"context"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"larder/fill"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// bare is a store of names alone, of which no object is found by a read of its folder.
type bare struct{ keys []string }

func (bare) Open(context.Context, keys.Key, fill.Options) (*fill.Object, error) {
	return nil, store.ErrNotFound
}

func (bare) Stat(context.Context, keys.Key, fill.Options) (store.Head, chunks.Source, error) {
	return store.Head{}, "", store.ErrNotFound
}

func (bare) Ready(keys.Key, string) (fill.Ready, bool) { return fill.Ready{}, false }

func (bare) Gather(_ context.Context, ks []keys.Key) []fill.Found {
	return make([]fill.Found, len(ks))
}

func (b bare) List(_ context.Context, prefix, after string, _ int) (entries []store.Entry, more bool, err error) {
	const page = 3 // so that folders go on over pages
	var places []string
	for _, name := range b.keys {
		place := keys.Key{Org: "acme", Service: keys.Objects, Name: name}.Place()
		if strings.HasPrefix(place, prefix) && place > after {
			places = append(places, place)
		}
	}
	slices.Sort(places)
	for _, place := range places[:min(page, len(places))] {
		entries = append(entries, store.Entry{Name: place, Version: "v"})
	}
	return entries, len(places) > page, nil
}

var hrefs = regexp.MustCompile(`<a href="([^"]*)"><bdi>([^<]*)</bdi></a>`)

// TestLinks follows the links from the root, as a browser resolves them, and finds each
// key once, whatever is in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	b := bare{[]string{
		"top", "a/1", "a/2", "a/3", "a/4", "a/5", "a/b/1", "a/b/c/2", "b", "dir/", "dir//", "x//y", "/lead", "//", "x/../z", "x/./w", "..", ".", "../up",
		"c:colon", "javascript:alert(1)", "<script>alert(1)</script>", `"quote'&amp;`, "sp ace", "q?x=1&y", "h#ash", "100%25", "%2F", "a+b", "é/ü", "~t/~", "a\\b", "year=2022/part 0",
		strings.Repeat("long/", 60) + "end", strings.Repeat("é", 200),
	}}
	api := New(Config{ChunkSize: 1 << 10, Log: zerolog.Nop()}, b, &kept{}, b, ada{})
	found := map[string]int{}
	seen := map[string]bool{}
	var follow func(at string)
	follow = func(at string) {
		if seen[at] {
			return
		}
		seen[at] = true
		r := httptest.NewRequest(http.MethodGet, at, nil)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != pagePolicy || !strings.HasSuffix(body, "</html>\n") {
			t.Fatalf("%s: %d %v %s", at, w.Code, w.Header(), body)
		}
		if strings.Contains(body, "<script") {
			t.Errorf("%s: a key is HTML: %s", at, body)
		}
		base, err := url.Parse("http://localhost" + at)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
			to, err := base.Parse(m[1])
			if err != nil || html.UnescapeString(m[1]) != m[1] {
				t.Fatalf("%s: %q: %v", at, m[1], err)
			}
			if q := to.Query(); q.Has("prefix") || !q.Has("key") && strings.HasSuffix(to.Path, "/") {
				follow(to.RequestURI())
				continue
			} else if q.Has("key") {
				found[q.Get("key")]++
				continue
			}
			name, err := url.PathUnescape(strings.TrimPrefix(to.EscapedPath(), "/v1/objects/"))
			if err != nil {
				t.Fatal(err)
			}
			found[name]++
		}
	}
	follow("/v1/objects/")
	for _, name := range b.keys {
		if found[name] != 1 {
			t.Errorf("%q was found %d times", name, found[name])
		}
	}
	if len(found) != len(b.keys) {
		t.Errorf("%d keys were found, want %d: %q", len(found), len(b.keys), slices.Sorted(maps.Keys(found)))
	}
}

// TestFoldersAreAskedFor: what is no object is not found, as ever, unless the caller wants a page.
func TestFoldersAreAskedFor(t *testing.T) {
	t.Parallel()
	b := bare{[]string{"a/1"}}
	api := New(Config{ChunkSize: 1 << 10, Log: zerolog.Nop()}, b, &kept{}, b, ada{})
	const java = "text/html, image/gif, image/jpeg, */*; q=.2"
	for _, c := range []struct {
		method, target, accept string
		want                   int
	}{
		{"GET", "/v1/objects/a/", "text/html", 200},
		{"HEAD", "/v1/objects/a/", "text/html", 200},
		{"GET", "/v1/objects/a", "text/html", 200},
		{"HEAD", "/v1/objects/a", "text/html", 404},
		{"GET", "/v1/objects/a", java, 404},
		{"GET", "/v1/objects/a/", java, 200},
		{"GET", "/v1/objects/a/", "*/*", 404},
		{"GET", "/v1/objects/a/", "", 404},
		{"GET", "/v1/objects/b/", "text/html", 404},
		{"GET", "/v1/objects?key=a%2F", "text/html", 404},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		if api.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%s %s, Accept %q: %d, want %d", c.method, c.target, c.accept, w.Code, c.want)
		}
	}
}
