package store_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"larder/store"
)

// Whatever makes an object asks for its encryption, and nothing else does: S3 refuses
// the headers with a part or a read.
func TestEncryptionIsAskedFor(t *testing.T) {
	for _, c := range []struct{ kind, key string }{{"", ""}, {"AES256", ""}, {"aws:kms", ""}, {"aws:kms", "the-key"}} {
		var mu sync.Mutex // guards asked
		var asked []string
		s := startFake(t, &fake{before: func(_ http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			what := r.Method
			if r.URL.Query().Has("uploads") {
				what = "begin"
			} else if r.URL.Query().Has("partNumber") {
				what = "part"
			}
			asked = append(asked, what+" "+r.Header.Get("X-Amz-Server-Side-Encryption")+" "+r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
			return false
		}}, store.S3Config{Encryption: c.kind, KMSKey: c.key})
		// Whether they succeed is not what is looked at.
		_, _ = s.Put(t.Context(), "a", store.Write{Body: []byte("x")})
		_, _ = s.Begin(t.Context(), "b", store.Head{})
		_, _ = s.Head(t.Context(), "a")
		mu.Lock()
		for _, want := range []string{"PUT " + c.kind + " " + c.key, "begin " + c.kind + " " + c.key, "HEAD  "} {
			if !slices.Contains(asked, want) {
				t.Errorf("%+v: asked %q, want %q", c, asked, want)
			}
		}
		mu.Unlock()
	}
}
