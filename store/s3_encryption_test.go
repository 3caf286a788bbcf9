package store_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"larder/store"
	"larder/store/storetest"
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

// A probe finds out that a bucket takes writes only if they ask for encryption, says
// for which, and leaves nothing behind. What is written all the same is refused in words
// that name the flag.
func TestProbeWhereEncryptionIsDemanded(t *testing.T) {
	for demanded, want := range map[string]string{"AES256": "give --s3-sse AES256", "aws:kms": "give --s3-sse aws:kms", "aws:kms:dsse": "see --s3-sse and --s3-sse-kms-key"} {
		server, s := serve(t, storetest.Habits{Demands: demanded})
		if _, err := s.Probe(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", demanded, err, want)
		}
		if left := server.Names(); len(left) > 0 {
			t.Errorf("%s: left behind: %q", demanded, left)
		}
		_, put := s.Put(t.Context(), "a", store.Write{})
		_, begin := s.Begin(t.Context(), "a", store.Head{})
		for _, err := range []error{put, begin} {
			if !errors.Is(err, store.ErrDenied) || !errors.Is(err, store.ErrUnexpected) || !strings.Contains(err.Error(), "--s3-sse") {
				t.Errorf("%s: the error is %v", demanded, err)
			}
		}
	}
}

// S3 knows what encryption an upload asks for since it began. Some servers hold a
// policy against each part as well; what they deny is asked for again.
func TestUploadsWhereEncryptionIsDemanded(t *testing.T) {
	for _, again := range []bool{false, true} {
		server := storetest.NewServer(storetest.Habits{Demands: "aws:kms", DemandsAgain: again})
		var mu sync.Mutex // guards keys
		var keys []string
		listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			keys = append(keys, r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
			mu.Unlock()
			server.ServeHTTP(w, r)
		}))
		t.Cleanup(listening.Close)
		s := newStore(t, store.S3Config{Endpoint: listening.URL, Encryption: "aws:kms", KMSKey: "the-key"})
		if differences, err := s.Probe(t.Context()); err != nil || len(differences) > 0 || s.Traits() != asS3() {
			t.Fatalf("again %t: told %+v, %v", again, differences, err)
		}
		uploadFourParts(t, s)
		server.Asked()
		uploadFourParts(t, s)
		if asked := server.Asked(); len(asked) != 6 {
			t.Errorf("again %t: asked %q, want nothing twice once it is known", again, asked)
		}
		if n := len(slices.DeleteFunc(keys, func(k string) bool { return k == "" })); n == 0 {
			t.Error("no key was asked for")
		}
	}
}

func uploadFourParts(t *testing.T, s *store.S3) {
	t.Helper()
	u, err := s.Begin(t.Context(), "a", store.Head{})
	if err != nil {
		t.Fatal(err)
	}
	parts := make([]store.Part, 4)
	var sending sync.WaitGroup
	for i := range parts {
		sending.Go(func() {
			var err error
			if parts[i], err = s.Part(t.Context(), u, i+1, []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	if _, err := s.Complete(t.Context(), u, parts, store.Conditions{}); err != nil {
		t.Error(err)
	}
}

// Parts that are denied for another reason are refused as they were, and say so.
func TestDeniedParts(t *testing.T) {
	server, _ := serve(t, storetest.Habits{Denies: []string{"part"}})
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	s := newStore(t, store.S3Config{Endpoint: listening.URL, Encryption: "AES256"})
	u, err := s.Begin(t.Context(), "a", store.Head{})
	if err != nil {
		t.Fatal(err)
	}
	server.Asked()
	for range 2 {
		if _, err := s.Part(t.Context(), u, 1, []byte("x")); !errors.Is(err, store.ErrDenied) {
			t.Errorf("the error is %v", err)
		}
	}
	if asked := server.Asked(); len(asked) != 4 {
		t.Errorf("asked %q", asked)
	}
}

// A key that cannot be used is named as what is wrong, and a throttled one is no refusal
// for good.
func TestKeysThatCannotBeUsed(t *testing.T) {
	for _, c := range []struct {
		status      int
		code, words string
		is          error
		want        string
	}{
		{400, "KMS.NotFoundException", "told so", store.ErrUnexpected, "--s3-sse-kms-key"},
		{400, "KMS.DisabledException", "told so", store.ErrUnexpected, "--s3-sse-kms-key"},
		{400, "kms:KeyNotFound", "key with given key ID does not exist", store.ErrUnexpected, "kms:KeyNotFound: the key"},
		{400, "InvalidArgument", "SSE with KMS managed key requires HTTP header", store.ErrUnexpected, "--s3-sse-kms-key"},
		{400, "KMS.ThrottlingException", "told so", store.ErrNotWritten, "KMS.ThrottlingException"},
		{403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey", store.ErrDenied, "kms:GenerateDataKey"},
		{404, "kms:KeyNotFound", "key with given key ID does not exist", store.ErrUnexpected, "--s3-sse-kms-key"}, // as MinIO says it
		{404, "NoSuchKey", "there is no v1/acme/objects/kms", store.ErrNotFound, "NoSuchKey"},
	} {
		s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("<Error><Code>" + c.code + "</Code><Message>" + c.words + "</Message></Error>"))
			return true
		}}, store.S3Config{Encryption: "aws:kms"})
		_, err := s.Put(t.Context(), "a", store.Write{})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || c.code == "NoSuchKey" && strings.Contains(err.Error(), "--s3-sse") {
			t.Errorf("%s: the error is %v", c.code, err)
		}
	}
}
