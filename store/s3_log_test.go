package store_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"larder/store"
)

// What the SDK has to say, here of a machine whose metadata service refuses
// tokens, is a line of the log.
func TestSDKLogs(t *testing.T) {
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer metadata.Close()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL, "AWS_EC2_METADATA_DISABLED": "false",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
	} {
		t.Setenv(name, value)
	}
	var lines bytes.Buffer
	s, err := store.NewS3(t.Context(), store.S3Config{
		Bucket: "b", Endpoint: metadata.URL, PathStyle: true, Log: zerolog.New(zerolog.SyncWriter(&lines)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Fatal("S3 was reached without credentials")
	}
	var line struct{ Level, Component, Detail string }
	if err := json.NewDecoder(&lines).Decode(&line); err != nil {
		t.Fatalf("%v: %s", err, lines.Bytes())
	}
	if line.Level != "warn" || line.Component != "s3" || line.Detail == "" {
		t.Errorf("logged: %+v", line)
	}
}
