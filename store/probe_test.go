package store_test

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"larder/store"
	"larder/store/storetest"
)

// serve starts a server with these habits.
func serve(t *testing.T, h storetest.Habits) (*storetest.Server, *store.S3) {
	t.Helper()
	server := storetest.NewServer(h)
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return server, newStore(t, store.S3Config{Endpoint: listening.URL, Prefix: "some prefix"})
}

// asS3 is what is found of a server that does all as S3 does.
func asS3() store.Traits {
	return store.Traits{
		Sure: true, PutIfAbsent: true, PutIfMatch: true, CompleteIfAbsent: true, CompleteIfMatch: true,
		CompleteVersion: true, TypeKept: true, AbortKeeps: true, UploadsByPrefix: true,
	}
}

// TestProbe wants each habit found, told in words, and nothing left behind.
func TestProbe(t *testing.T) {
	empty, other := "", `"0123-1"`
	for name, test := range map[string]struct {
		habits storetest.Habits
		want   func(*store.Traits) // makes of S3's traits those of the server
		told   []string
	}{
		"S3": {want: func(*store.Traits) {}},
		"ignores": {storetest.Habits{IgnoresPut: true, IgnoresComplete: true}, func(t *store.Traits) {
			t.PutIfAbsent, t.PutIfMatch, t.CompleteIfAbsent, t.CompleteIfMatch = false, false, false, false
		}, []string{"a put with If-None-Match: *", "a put with If-Match", "completed with If-None-Match: *"}},
		"501": {storetest.Habits{RefusesIfMatch: true}, func(t *store.Traits) {
			t.PutIfMatch, t.CompleteIfMatch = false, false
		}, []string{"a put with If-Match", "completed with If-Match"}},
		"quotes": {storetest.Habits{ComparesQuoted: true, IgnoresComplete: true}, func(t *store.Traits) {
			t.PutIfMatch, t.CompleteIfAbsent, t.CompleteIfMatch = false, false, false
		}, []string{"a put with If-Match", "completed with"}},
		"no ETag":      {storetest.Habits{CompleteTag: &empty}, func(t *store.Traits) { t.CompleteVersion = false }, []string{"the object's ETag"}},
		"another ETag": {storetest.Habits{CompleteTag: &other}, func(t *store.Traits) { t.CompleteVersion = false }, []string{"the object's ETag"}},
		"forgotten":    {storetest.Habits{ForgottenSucceeds: true}, func(t *store.Traits) { t.CompleteVersion = false }, []string{"that was aborted is completed"}},
		"abort":        {storetest.Habits{AbortRemoves: true}, func(t *store.Traits) { t.AbortKeeps = false }, []string{"removes an object"}},
		"no prefix":    {storetest.Habits{NoUploadPrefix: true}, func(t *store.Traits) { t.UploadsByPrefix = false }, []string{"of the whole bucket"}},
		"encoded":      {storetest.Habits{EncodesUploads: true}, func(*store.Traits) {}, nil},
		"underscores":  {storetest.Habits{Underscores: true}, func(*store.Traits) {}, []string{"an underscore"}},
		"no metadata":  {storetest.Habits{NoMetadata: true}, func(*store.Traits) {}, []string{"without Content-Type"}},
		"old metadata": {storetest.Habits{OldMetadata: true}, func(*store.Traits) {}, []string{"of a replaced object"}},
		"types":        {storetest.Habits{GuessesTypes: true}, func(t *store.Traits) { t.TypeKept = false }, []string{"as text/html"}},
		"composes":     {storetest.Habits{ComposesNames: true}, func(*store.Traits) {}, []string{"two forms of one character"}},
		"no uploads":   {storetest.Habits{Denies: []string{"list_uploads"}}, func(t *store.Traits) { t.UploadsByPrefix = false }, []string{"s3:ListBucketMultipartUploads"}},
		"no reading": {storetest.Habits{Denies: []string{"get", "head"}}, func(t *store.Traits) {
			t.CompleteVersion, t.TypeKept, t.AbortKeeps = false, false, false
		}, []string{"s3:GetObject"}},
		"mtime":    {storetest.Habits{KeepsMtime: true}, func(*store.Traits) {}, []string{"metadata in memory"}},
		"no abort": {storetest.Habits{Denies: []string{"abort"}}, func(*store.Traits) {}, []string{"s3:AbortMultipartUpload"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := serve(t, test.habits)
			differences, err := s.Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := asS3()
			if test.want(&want); s.Traits() != want {
				t.Errorf("found %+v, want %+v", s.Traits(), want)
			}
			if len(differences) < len(test.told) || (len(test.told) == 0) != (len(differences) == 0) {
				t.Errorf("told %+v", differences)
			}
			for i, told := range test.told {
				if d := differences[i]; !strings.Contains(d.Lacks+d.Instead, told) || d.Instead == "" {
					t.Errorf("told %+v, want %q; all %+v", d, told, differences)
				}
			}
			if asked := server.Asked(); len(asked) > 24 {
				t.Errorf("%d requests: %q", len(asked), asked)
			}
			if left := server.Names(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if _, err := s.Probe(t.Context()); err != nil || (len(server.Asked()) > 0) != (len(test.habits.Denies) > 0) {
				t.Errorf("probed twice: %v", err)
			}
			server.Denies = nil // the permission is given
			if _, err := s.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(test.habits.Denies) > 0 && s.Traits() != asS3() {
				t.Errorf("with the permission found %+v", s.Traits())
			}
		})
	}
}

// TestProbeWithoutListings wants it told that listings fail, after some tries.
func TestProbeWithoutListings(t *testing.T) {
	_, s := serve(t, storetest.Habits{FailsListing: true})
	differences, err := s.Probe(t.Context())
	want := asS3()
	want.Sure = false
	if err != nil || len(differences) != 1 || !strings.Contains(differences[0].Lacks, "is not listed") || s.Traits() != want {
		t.Errorf("told %+v, found %+v, %v", differences, s.Traits(), err)
	}
}

// TestProbeUnanswered wants no verdict of what was not answered: the server is told all
// conditions, none is relied on, and a later probe finds out.
func TestProbeUnanswered(t *testing.T) {
	server := storetest.NewServer(storetest.Habits{})
	var loses atomic.Bool
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loses.Load() && r.Header.Get("If-Match") != "" {
			server.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(listening.Close)
	s := newStore(t, store.S3Config{Endpoint: listening.URL})
	all := store.Conditions{IfAbsent: true, IfMatch: "v"}
	if told := s.Traits().Told(all); told != all || s.Traits() != (store.Traits{}) {
		t.Errorf("before a probe it is told %+v, and found %+v", told, s.Traits())
	}
	loses.Store(true)
	differences, err := s.Probe(t.Context())
	if err != nil || !slices.ContainsFunc(differences, store.Difference.Again) {
		t.Errorf("told %+v, %v", differences, err)
	}
	if found := s.Traits(); found.Told(all) != all || found.ToldByComplete(all) != all || found.PutIfMatch || !found.PutIfAbsent {
		t.Errorf("found %+v", found)
	}
	loses.Store(false)
	if differences, err := s.Probe(t.Context()); err != nil || len(differences) > 0 || s.Traits() != asS3() {
		t.Errorf("with all answers it told %+v, found %+v, %v", differences, s.Traits(), err)
	}
}

// TestProbeDenied wants the permission named without which there is no verdict.
func TestProbeDenied(t *testing.T) {
	server, s := serve(t, storetest.Habits{Denies: []string{"put"}})
	for range 2 {
		if _, err := s.Probe(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "s3:PutObject") {
			t.Errorf("the error is %v", err)
		}
		if len(server.Asked()) == 0 || s.Traits() != (store.Traits{}) {
			t.Errorf("found %+v", s.Traits())
		}
	}
}

// TestProbeWithoutServer wants a probe of nobody to be no verdict.
func TestProbeWithoutServer(t *testing.T) {
	s := newStore(t, store.S3Config{Endpoint: "http://127.0.0.1:1"})
	if _, err := s.Probe(t.Context()); !errors.Is(err, store.ErrUnavailable) || s.Traits() != (store.Traits{}) {
		t.Errorf("found %+v, %v", s.Traits(), err)
	}
}

// TestComplete wants the version that the object has, and an honest outcome, of
// servers that answer otherwise than S3; before they were probed and after.
func TestComplete(t *testing.T) {
	empty, other := "", `"0123-1"`
	for name, test := range map[string]struct {
		habits storetest.Habits
		want   error
	}{
		"no ETag":           {storetest.Habits{CompleteTag: &empty}, nil},
		"another ETag":      {storetest.Habits{CompleteTag: &other}, nil},
		"old metadata":      {storetest.Habits{CompleteTag: &other, OldMetadata: true}, nil},
		"broken off":        {storetest.Habits{CompleteBroken: true}, nil},
		"failed after all":  {storetest.Habits{CompleteFails: "InternalError"}, nil},
		"sent twice":        {storetest.Habits{CompleteFails: "NoSuchUpload"}, nil},
		"200, to be fixed":  {storetest.Habits{CompleteError: "InvalidPart"}, store.ErrUnexpected},
		"200, still there":  {storetest.Habits{CompleteError: "InternalError"}, store.ErrUnavailable},
		"200, precondition": {storetest.Habits{CompleteError: "PreconditionFailed"}, store.ErrPrecondition},
	} {
		for _, probed := range []bool{false, true} {
			_, s := serve(t, test.habits)
			if probed {
				if _, err := s.Probe(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Put(t.Context(), "v1/a", store.Write{Head: store.Head{Writer: "before"}}); err != nil {
				t.Fatal(err)
			}
			u, parts := beginOne(t, s, "v1/a", store.Head{Writer: "ann"})
			head, err := s.Complete(t.Context(), u, parts, store.Conditions{})
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%s: the error is %v, want %v", name, err, test.want)
			}
			there, headErr := s.Head(t.Context(), "v1/a")
			if written := there.Size == 100; headErr != nil || written != (test.want == nil) || written && head.Version != there.Version {
				t.Errorf("%s: %+v was answered, %+v is there, %v", name, head, there, headErr)
			}
		}
	}
}

// TestTypes wants an object's type kept where the server takes the usual one for none.
func TestTypes(t *testing.T) {
	for _, probed := range []bool{false, true} {
		_, s := serve(t, storetest.Habits{GuessesTypes: true})
		if probed {
			if _, err := s.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, given := range []string{"", "application/octet-stream", "text/plain"} {
			want := cmp.Or(given, "application/octet-stream")
			if _, err := s.Put(t.Context(), "v1/small.html", store.Write{Head: store.Head{ContentType: given}}); err != nil {
				t.Fatal(err)
			}
			u, parts := beginOne(t, s, "v1/large.html", store.Head{ContentType: given})
			if _, err := s.Complete(t.Context(), u, parts, store.Conditions{}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"v1/small.html", "v1/large.html"} {
				got, err := s.Head(t.Context(), name)
				if err != nil || got.ContentType != want || len(got.Meta) > 0 {
					t.Errorf("%s was put as %q: %+v, %v", name, given, got, err)
				}
			}
		}
	}
}

// TestCompleteForgotten wants an upload that is gone told as such where the
// server answers 500, and the object of the name left alone.
func TestCompleteForgotten(t *testing.T) {
	_, s := serve(t, storetest.Habits{ForgottenFails: true})
	if _, err := s.Put(t.Context(), "v1/a", store.Write{Body: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	u, parts := beginOne(t, s, "v1/a", store.Head{Writer: "ann"})
	if err := s.Abort(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Complete(t.Context(), u, parts, store.Conditions{}); !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

// TestCompleteForgottenAsDone wants an upload that is gone not told as done where the
// server says that it is.
func TestCompleteForgottenAsDone(t *testing.T) {
	for _, probed := range []bool{false, true} {
		_, s := serve(t, storetest.Habits{ForgottenSucceeds: true})
		if probed {
			if _, err := s.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Put(t.Context(), "v1/a", store.Write{Body: []byte("old")}); err != nil {
			t.Fatal(err)
		}
		u, parts := beginOne(t, s, "v1/a", store.Head{})
		if err := s.Abort(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if head, err := s.Complete(t.Context(), u, parts, store.Conditions{}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("probed %v: %+v, %v", probed, head, err)
		}
	}
}

func beginOne(t *testing.T, s *store.S3, name string, h store.Head) (store.Upload, []store.Part) {
	t.Helper()
	u, err := s.Begin(t.Context(), name, h)
	if err != nil {
		t.Fatal(err)
	}
	part, err := s.Part(t.Context(), u, 1, bytes.Repeat([]byte("x"), 100))
	if err != nil {
		t.Fatal(err)
	}
	return u, []store.Part{part}
}

// TestAbandonedElsewhere wants uploads that were left behind found on servers
// that list them otherwise than S3.
func TestAbandonedElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		habits storetest.Habits
		want   int
	}{
		"no prefix": {storetest.Habits{NoUploadPrefix: true}, 3},
		"encoded":   {storetest.Habits{EncodesUploads: true}, 3},
		"one page":  {storetest.Habits{OnePage: true}, 1},
	} {
		_, s := serve(t, test.habits)
		names := map[string]bool{"v1/a b": true, "v1/a+é": true, "v1/c|d": true}
		for name := range names {
			beginOne(t, s, name, store.Head{Writer: "ann"})
		}
		found, err := s.Abandoned(t.Context(), "v1/", time.Now().Add(time.Hour))
		if err != nil || len(found) != test.want {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		for _, u := range found {
			if !names[u.Name] {
				t.Errorf("%s: found %q", name, u.Name)
			}
		}
	}
	_, s := serve(t, storetest.Habits{NoUploads: true})
	if found, err := s.Abandoned(t.Context(), "v1/", time.Now().Add(time.Hour)); err != nil || len(found) != 0 {
		t.Errorf("no uploads: %+v, %v", found, err)
	}
}
