package store_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larder/store"
)

// startChain starts a fake and a store whose credentials come by the SDK's chain.
func startChain(t *testing.T, f *fake) *store.S3 {
	t.Helper()
	f.objects = map[string][]byte{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	s, err := store.NewS3(t.Context(), store.S3Config{Bucket: "larder", PathStyle: true, Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noChain leaves nothing in the environment that credentials could come from.
func noChain(t *testing.T) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}

func writeCredentials(t *testing.T, file, header, key string) {
	t.Helper()
	text := fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = secret-of-%s\n", header, key, key)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Credentials that stand in a file are read again when S3 refuses them, for
// every request and whatever it is refused with.
func TestCredentialsReadAgain(t *testing.T) {
	for _, variable := range []string{"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"} {
		for _, code := range []string{"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"} {
			t.Run(variable+" "+code, func(t *testing.T) {
				noChain(t)
				file := filepath.Join(t.TempDir(), "file")
				t.Setenv(variable, file)
				writeCredentials(t, file, "default", "K")
				good := "K"
				server := &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
					wrong := !strings.Contains(r.Header.Get("Authorization"), "Credential="+good+"/")
					if wrong {
						refuse(http.StatusForbidden, code)(0, w, r)
					}
					return wrong
				}}
				s := startChain(t, server)
				for i, op := range []string{"put", "get", "head", "list", "delete"} {
					good = strings.Repeat("K", i+1)
					writeCredentials(t, file, "default", good)
					if err := operations(s)[op](t.Context()); err != nil && !errors.Is(err, store.ErrNotFound) {
						t.Errorf("%s with %s: %v", op, good, err)
					}
				}
			})
		}
	}
}

// Where credentials come from may fail for a while: that is no fault of the
// store's configuration, and nothing was written.
func TestNoCredentialsForNow(t *testing.T) {
	for status, answer := range map[int]string{
		http.StatusForbidden: `{"code":"Inside","message":"of the role endpoint"}`, // which the SDK does not ask again
		http.StatusOK:        `{}`,
	} {
		noChain(t)
		source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, answer)
		}))
		t.Cleanup(source.Close)
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", source.URL)
		server := &fake{}
		s := startChain(t, server)
		for _, op := range []string{"put", "get", "ping"} {
			err := operations(s)[op](t.Context())
			if !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, store.ErrNotWritten) ||
				strings.Contains(err.Error(), "role endpoint") || !strings.Contains(err.Error(), "credentials") {
				t.Errorf("%s after %s: %v", op, answer, err)
			}
		}
		if len(server.requests) != 0 {
			t.Errorf("%d requests were sent after %s", len(server.requests), answer)
		}
	}
}
