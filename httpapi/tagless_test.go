package httpapi

import (
	"context"
	"larder/store"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rs/zerolog"
)

// tagless is a store whose object has no ETag, as files that were put by hand on
// some servers.
type tagless struct{ oneObject }

func (o tagless) Get(ctx context.Context, name string, n int64, alloc store.Alloc) (store.Head, []byte, error) {
	h, b, err := o.oneObject.Get(ctx, name, n, alloc)
	h.Version = ""
	return h, b, err
}

func (o tagless) Head(ctx context.Context, name string) (store.Head, error) {
	h, err := o.oneObject.Head(ctx, name)
	h.Version = ""
	return h, err
}

func (o tagless) GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error) {
	h, b, err := o.oneObject.GetRange(ctx, name, version, off, n)
	h.Version = ""
	return h, b, err
}

// What has no ETag is answered without one, and is no condition's object.
func TestObjectWithoutETag(t *testing.T) {
	for name, c := range map[string]struct {
		header, value string
		status        int
	}{"plain": {"X", "", 200}, "none match": {"If-None-Match", `""`, 200}, "match": {"If-Match", `""`, 412}, "any": {"If-None-Match", "*", 304}} {
		a := readingFrom(t, tagless{oneObject{body: make([]byte, 100)}}, zerolog.Nop())
		r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
		r.Header.Set(c.header, c.value)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if etag, there := w.Header()["Etag"]; w.Code != c.status || there {
			t.Errorf("%s: %d, ETag %q", name, w.Code, etag)
		}
	}
}
