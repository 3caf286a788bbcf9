package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"larder/store"
)

func sendsChecksum(r *http.Request) bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum") || strings.HasPrefix(name, "X-Amz-Sdk-Checksum") {
			return true
		}
	}
	return false
}

// A store that refuses checksum headers is found out by the first write, and
// written to without them. The signature covers the bytes then.
func TestChecksumsRefused(t *testing.T) {
	for _, answer := range []struct {
		status int
		code   string
	}{{400, "InvalidArgument"}, {400, "UnsupportedHeader"}, {501, "NotImplemented"}, {403, "SignatureDoesNotMatch"}} {
		var lines bytes.Buffer
		server := &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
			if sendsChecksum(r) {
				refuse(answer.status, answer.code)(0, w, r)
			}
			return sendsChecksum(r)
		}}
		s := startFake(t, server, store.S3Config{Log: zerolog.New(&lines)})
		u, err := s.Begin(t.Context(), "a", store.Head{})
		if err != nil {
			t.Fatal(err)
		}
		part, err := s.Part(t.Context(), u, 1, []byte("part"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Complete(t.Context(), u, []store.Part{part}, store.Conditions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "b", store.Write{Body: []byte("body")}); err != nil {
			t.Fatal(err)
		}
		puts := server.sent(http.MethodPut)
		if len(puts) != 3 || len(server.sent(http.MethodPost)) != 3 {
			t.Errorf("%d puts, %d posts", len(puts), len(server.sent(http.MethodPost)))
		}
		for i, body := range map[int]string{0: "part", 2: "body"} {
			sum := sha256.Sum256([]byte(body))
			if got := puts[i].Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) {
				t.Errorf("%s is signed as %s", body, got)
			}
		}
		if n := strings.Count(lines.String(), "refuses checksum headers"); n != 2 { // with uploads, and with puts
			t.Errorf("logged %d times: %s", n, lines.String())
		}
	}
}

// Some servers take the headers with one operation and refuse them with another, also
// when several requests are refused at once.
func TestChecksumsRefusedInPart(t *testing.T) {
	for name, refuses := range map[string]func(r *http.Request) bool{
		"as an upload begins": func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") },
		"with a part":         func(r *http.Request) bool { return r.URL.Query().Has("partNumber") },
		"with a put":          func(r *http.Request) bool { return r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") },
	} {
		server := &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
			if sendsChecksum(r) && refuses(r) {
				refuse(http.StatusBadRequest, "InvalidRequest")(0, w, r)
				return true
			}
			return false
		}}
		s := startFake(t, server, store.S3Config{})
		if _, err := s.Put(t.Context(), "a", store.Write{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		u, err := s.Begin(t.Context(), "b", store.Head{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var parts sync.WaitGroup
		for n := range 4 {
			parts.Go(func() {
				if _, err := s.Part(t.Context(), u, n+1, []byte("part")); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		parts.Wait()
		if name == "with a put" {
			continue
		}
		if _, err := s.Begin(t.Context(), "b", store.Head{}); err != nil || sendsChecksum(last(server.sent(http.MethodPost))) {
			t.Errorf("%s: the next upload names the kind of its checksums: %v", name, err)
		}
	}
}

// Some servers do not know the checksums in the list of parts that completes an upload.
func TestChecksumsRefusedInTheListOfParts(t *testing.T) {
	for _, code := range []string{"MalformedXML", "InvalidRequest"} {
		server := &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has("uploadId") || r.Method != http.MethodPost {
				return false
			}
			if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("Checksum")) {
				refuse(http.StatusBadRequest, code)(0, w, r)
				return true
			}
			return false
		}}
		s := startFake(t, server, store.S3Config{})
		for range 2 {
			u, err := s.Begin(t.Context(), "a", store.Head{})
			if err != nil {
				t.Fatal(err)
			}
			part, err := s.Part(t.Context(), u, 1, []byte("part"))
			if err != nil || part.Checksum == "" {
				t.Fatal(part, err)
			}
			if _, err := s.Complete(t.Context(), u, []store.Part{part}, store.Conditions{}); err != nil {
				t.Errorf("%s: %v", code, err)
			}
		}
		if n := len(server.sent(http.MethodPost)); n != 5 { // each begins and completes, the first completes twice
			t.Errorf("%s: %d posts", code, n)
		}
	}
}

func last(requests []*http.Request) *http.Request { return requests[len(requests)-1] }

// A write that is refused for something else is not taken for that.
func TestChecksumsTaken(t *testing.T) {
	server := &fake{}
	s := startFake(t, server, store.S3Config{})
	all := func(w http.ResponseWriter, r *http.Request) bool {
		refuse(http.StatusBadRequest, "InvalidArgument")(0, w, r)
		return true
	}
	server.before = all
	if _, err := s.Put(t.Context(), "a", store.Write{}); !errors.Is(err, store.ErrUnexpected) {
		t.Fatal(err)
	}
	server.before = nil
	if _, err := s.Put(t.Context(), "a", store.Write{}); err != nil {
		t.Fatal(err)
	}
	server.before = all
	_, _ = s.Put(t.Context(), "a", store.Write{})
	server.before = nil
	_, _ = s.Put(t.Context(), "a", store.Write{})
	var sent []bool
	for _, r := range server.sent(http.MethodPut) {
		sent = append(sent, sendsChecksum(r))
	}
	if want := []bool{true, false, true, true, false, true}; !slices.Equal(sent, want) {
		t.Errorf("puts with checksums: %v, want %v", sent, want)
	}
}

// A server that took the headers, and refuses them after an update, is written to
// without a restart.
func TestChecksumsRefusedLater(t *testing.T) {
	server := &fake{}
	s := startFake(t, server, store.S3Config{})
	upload := func() error {
		u, err := s.Begin(t.Context(), "b", store.Head{})
		if err != nil {
			return err
		}
		part, err := s.Part(t.Context(), u, 1, []byte("part"))
		if err != nil {
			return err
		}
		_, err = s.Complete(t.Context(), u, []store.Part{part}, store.Conditions{})
		return err
	}
	for _, updated := range []bool{false, true} {
		if updated {
			server.before = func(w http.ResponseWriter, r *http.Request) bool {
				if sendsChecksum(r) {
					refuse(http.StatusBadRequest, "InvalidArgument")(0, w, r)
				}
				return sendsChecksum(r)
			}
		}
		if _, err := s.Put(t.Context(), "a", store.Write{Body: []byte("body")}); err != nil {
			t.Errorf("put, updated %v: %v", updated, err)
		}
		if err := upload(); err != nil {
			t.Errorf("upload, updated %v: %v", updated, err)
		}
	}
}

// The SDK's own setting is heeded.
func TestChecksumsNotAskedFor(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	server := &fake{}
	s := startChain(t, server)
	if _, err := s.Put(t.Context(), "a", store.Write{}); err != nil {
		t.Fatal(err)
	}
	if puts := server.sent(http.MethodPut); len(puts) != 1 || sendsChecksum(puts[0]) {
		t.Errorf("%d puts with headers %v", len(puts), puts[0].Header)
	}
}
