package store_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"larder/store"
)

// fake is a small S3 that keeps objects in memory and asks for no signature.
// A test says what is different about it.
type fake struct {
	// before answers a request in the server's place, or returns false.
	before func(w http.ResponseWriter, r *http.Request) bool
	// forbidAbsent answers 403 for what is not there.
	forbidAbsent bool

	mu       sync.Mutex
	objects  map[string][]byte // by key
	metadata map[string]http.Header
	requests []*http.Request
}

func startFake(t *testing.T, f *fake, cfg store.S3Config) *store.S3 {
	t.Helper()
	f.objects = map[string][]byte{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	cfg.Endpoint = server.URL
	return newStore(t, cfg)
}

// sent are the requests of a method so far.
func (f *fake) sent(method string) []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r *http.Request) bool { return r.Method != method })
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	f.requests = append(f.requests, r)
	if f.metadata == nil {
		f.metadata = map[string]http.Header{}
	}
	f.mu.Unlock()
	if f.before != nil && f.before(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	sum := md5.Sum(body)
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	switch {
	case key == "":
		f.list(w, r)
	case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
		f.metadata[key] = r.Header
		fmt.Fprint(w, "<R><UploadId>u</UploadId></R>")
	case r.Method == http.MethodPost:
		fmt.Fprint(w, `<R><ETag>"whole"</ETag></R>`)
	case r.Method == http.MethodPut:
		f.objects[key] = body
		if !r.URL.Query().Has("partNumber") {
			f.metadata[key] = r.Header
		}
		w.Header().Set("ETag", tag)
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.read(w, r, key)
	}
}

func (f *fake) read(w http.ResponseWriter, r *http.Request, key string) {
	object, ok := f.objects[key]
	switch {
	case !ok && f.forbidAbsent:
		refuse(http.StatusForbidden, "AccessDenied")(0, w, r)
	case !ok:
		refuse(http.StatusNotFound, "NoSuchKey")(0, w, r)
	default:
		for name, values := range f.metadata[key] {
			if strings.HasPrefix(name, "X-Amz-Meta-") {
				w.Header()[name] = values
			}
		}
		sum := md5.Sum(object)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(object)))
		_, _ = w.Write(object)
	}
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	var keys []string
	for key := range f.objects {
		if strings.HasPrefix(key, query.Get("prefix")) && key > query.Get("start-after") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	limit, _ := strconv.Atoi(query.Get("max-keys"))
	more := len(keys) > limit
	writePage(w, more, "e", keys[:min(limit, len(keys))]...)
}

// writePage writes a page of a listing.
func writePage(w io.Writer, more bool, tag string, keys ...string) {
	fmt.Fprintf(w, "<R><IsTruncated>%t</IsTruncated>", more)
	for _, key := range keys {
		fmt.Fprint(w, "<Contents><Key>")
		_ = xml.EscapeText(w, []byte(key))
		fmt.Fprintf(w, "</Key><ETag>%s</ETag><Size>1</Size></Contents>", tag)
	}
	fmt.Fprint(w, "</R>")
}
