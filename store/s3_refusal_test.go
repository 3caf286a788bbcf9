package store_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/store"
)

// A write that S3 refuses was surely not written. An answer that a proxy may
// have given, or that may have come after the write, leaves it unknown.
func TestRefusedWrites(t *testing.T) {
	for _, test := range []struct {
		status  int
		body    string
		want    error
		refused bool // beside ErrUnavailable; the others say so themselves
	}{
		{503, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>", store.ErrUnavailable, true},
		{503, "<Error><Code>ServiceUnavailable</Code><Message>Service is unable to handle request.</Message></Error>", store.ErrUnavailable, true},
		{503, "", store.ErrUnavailable, false},
		{503, "<html><body>upstream</body></html>", store.ErrUnavailable, false},
		{503, "<Error><Code>SlowDownWrite</Code></Error>", store.ErrUnavailable, false},
		{502, "", store.ErrUnavailable, false},
		{504, "", store.ErrUnavailable, false},
		{500, "<Error><Code>InternalError</Code></Error>", store.ErrUnavailable, false},
		{507, "<Error><Code>InsufficientStorage</Code></Error>", store.ErrUnavailable, true},
		{507, "<Error><Code>XMinioStorageFull</Code></Error>", store.ErrUnavailable, true},
		{507, "", store.ErrUnavailable, true},
		{403, "<Error><Code>QuotaExceeded</Code></Error>", store.ErrUnavailable, true},
		{429, "", store.ErrUnavailable, true},
		{429, "<Error><Code>TooManyRequests</Code></Error>", store.ErrUnavailable, true},
		{400, "<Error><Code>RequestTimeout</Code></Error>", store.ErrUnavailable, true},
		{403, "<Error><Code>ExpiredToken</Code></Error>", store.ErrUnavailable, true},
		{403, "<Error><Code>AccessDenied</Code></Error>", store.ErrUnexpected, false},
		{400, "<Error><Code>EntityTooLarge</Code></Error>", store.ErrUnexpected, false},
		{501, "<Error><Code>NotImplemented</Code></Error>", store.ErrUnexpected, false},
		{400, "<Error><Code>MetadataTooLarge</Code></Error>", store.ErrMetadata, false},
		{400, "<Error><Code>KeyTooLongError</Code></Error>", store.ErrName, false},
		{400, "<Error><Code>InvalidRequest</Code><Message>Metadata value longer than 256</Message></Error>", store.ErrMetadata, false},
		{431, "", store.ErrMetadata, false},
		{403, "<Error><Code>InvalidObjectState</Code></Error>", store.ErrUnexpected, false},
		{400, "<Error><Code>KMS.ThrottlingException</Code></Error>", store.ErrUnavailable, true},
	} {
		s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
			return true
		}}, store.S3Config{})
		_, put := s.Put(t.Context(), "a", store.Write{Body: []byte("x")})
		for op, err := range map[string]error{"put": put, "delete": s.Delete(t.Context(), "a")} {
			if !errors.Is(err, test.want) || errors.Is(err, store.ErrNotWritten) != test.refused {
				t.Errorf("%d %s to %s: %v; want %v, nothing written: %t", test.status, test.body, op, err, test.want, test.refused)
			}
		}
	}
}

// How long the store wants to be left alone travels with the error, and a read
// does not ask again before that.
func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"20": 20 * time.Second, "100000": time.Minute, "": 0, "soon": 0, "-5": 0,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Minute,
	} {
		server := &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", header)
			refuse(http.StatusServiceUnavailable, "SlowDown")(0, w, r)
			return true
		}}
		s := startFake(t, server, store.S3Config{})
		_, err := s.Head(t.Context(), "a")
		later, _ := errors.AsType[store.Later](err)
		if !errors.Is(err, store.ErrUnavailable) || later.After != want {
			t.Errorf("Retry-After %q: %v, want %s", header, err, want)
		}
		if n := len(server.sent(http.MethodHead)); (n == 1) != (want > 0) {
			t.Errorf("Retry-After %q: %d requests", header, n)
		}
	}
}

// What S3 says itself is in the log, once in a while, and in no error.
func TestWordsOfS3(t *testing.T) {
	const words = "User: arn:aws:sts::123456789012:assumed-role/x is not authorized to perform: s3:PutObject on http://inside:9000"
	var lines bytes.Buffer
	s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-Amz-Request-Id", "REQ1")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>"+words+"</Message></Error>")
		return true
	}}, store.S3Config{Log: zerolog.New(&lines)})
	for range 10 {
		_, err := s.Put(t.Context(), "a", store.Write{})
		if err == nil || strings.Contains(err.Error(), "arn:") || strings.Contains(err.Error(), "inside") || !strings.Contains(err.Error(), "s3:PutObject") {
			t.Fatalf("the error is %v", err)
		}
	}
	log := lines.String()
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, words) || !strings.Contains(log, `"grant":"s3:PutObject"`) || !strings.Contains(log, "REQ1") {
		t.Errorf("logged: %s", log)
	}
}

// An address that cannot be reached is the log's alone, too.
func TestNoAddressInErrors(t *testing.T) {
	var lines bytes.Buffer
	s := newStore(t, store.S3Config{Endpoint: "http://127.0.0.1:1", Log: zerolog.New(&lines)})
	for op, run := range operations(s) {
		if err := run(t.Context()); err == nil || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: the error is %v", op, err)
		}
	}
	if !strings.Contains(lines.String(), "127.0.0.1:1") {
		t.Errorf("logged: %s", lines.String())
	}
}

// Each operation that is denied says which permission to grant.
func TestActions(t *testing.T) {
	var lines bytes.Buffer
	s := startFake(t, &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
		refuse(http.StatusForbidden, "AccessDenied")(0, w, r)
		return true
	}}, store.S3Config{Log: zerolog.New(&lines)})
	for op, run := range operations(s) {
		if err := run(t.Context()); !errors.Is(err, store.ErrUnexpected) {
			t.Errorf("%s: %v", op, err)
		}
	}
	_ = s.Abort(t.Context(), store.Upload{Name: "a", ID: "u"})
	_, _ = s.Abandoned(t.Context(), "", time.Now())
	for _, action := range []string{
		"s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads",
	} {
		if !strings.Contains(lines.String(), `"grant":"`+action+`"`) {
			t.Errorf("%s is not named: %s", action, lines.String())
		}
	}
}

// A missing object may be forbidden and not absent. Where names can be listed
// it is known to be absent; where not, the error names what is to be granted.
func TestForbiddenAbsence(t *testing.T) {
	server := &fake{forbidAbsent: true}
	s := startFake(t, server, store.S3Config{Prefix: "team"})
	if _, err := s.Put(t.Context(), "a/b", store.Write{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"get":  func() error { _, _, err := s.Get(t.Context(), "a", 10, nil); return err }(),
		"head": func() error { _, err := s.Head(t.Context(), "a"); return err }(),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.GetRange(t.Context(), "a", "v", 0, 1); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("range: %v", err)
	}
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("list-type") {
			refuse(http.StatusForbidden, "AccessDenied")(0, w, r)
			return true
		}
		return false
	}
	if _, err := s.Head(t.Context(), "a"); !errors.Is(err, store.ErrUnexpected) ||
		!strings.Contains(err.Error(), "s3:ListBucket") || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("the error is %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnexpected) || !strings.Contains(err.Error(), "s3:ListBucket") {
		t.Errorf("ping: %v", err)
	}
}

// Credentials that are limited to a prefix reach what is below it.
func TestPrefixRole(t *testing.T) {
	s := startFake(t, &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
		whole := strings.Trim(r.URL.Path, "/") == "larder" && !strings.HasPrefix(r.URL.Query().Get("prefix"), "team/")
		if whole {
			refuse(http.StatusForbidden, "AccessDenied")(0, w, r)
		}
		return whole
	}}, store.S3Config{Prefix: "team"})
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// The region of a bucket is named where S3 names it.
func TestWrongRegion(t *testing.T) {
	for name, before := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"redirect": func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
			refuse(http.StatusMovedPermanently, "PermanentRedirect")(0, w, r)
			return true
		},
		"bare redirect": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
			w.WriteHeader(http.StatusMovedPermanently)
			return true
		},
		"signature": func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message></Error>")
			return true
		},
	} {
		s := startFake(t, &fake{before: before}, store.S3Config{})
		if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "--s3-region eu-central-1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An object whose bytes were moved to an archive is absent, and can be replaced.
func TestArchived(t *testing.T) {
	s := startFake(t, &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
		switch r.Method {
		case http.MethodHead:
			w.Header().Set("ETag", `"v"`)
			w.Header().Set("X-Amz-Storage-Class", "GLACIER")
		case http.MethodGet:
			refuse(http.StatusForbidden, "InvalidObjectState")(0, w, r)
		default:
			return false
		}
		return true
	}}, store.S3Config{})
	_, head := s.Head(t.Context(), "a")
	_, _, get := s.Get(t.Context(), "a", 10, nil)
	for _, err := range []error{head, get} {
		if !errors.Is(err, store.ErrNotFound) || !errors.Is(err, store.ErrArchived) {
			t.Errorf("the error is %v", err)
		}
	}
	if _, err := s.Put(t.Context(), "a", store.Write{}); err != nil {
		t.Error(err)
	}
}

// A request that came at another time than S3's clock shows is sent once more,
// by S3's clock.
func TestSkewedClock(t *testing.T) {
	refusals := 0
	server := &fake{}
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		if refusals++; refusals > 1 {
			return false
		}
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		refuse(http.StatusForbidden, "RequestTimeTooSkewed")(0, w, r)
		return true
	}
	s := startFake(t, server, store.S3Config{})
	if _, err := s.Put(t.Context(), "a", store.Write{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	puts := server.sent(http.MethodPut)
	if len(puts) != 2 || string(server.objects["a"]) != "x" {
		t.Fatalf("%d requests; stored %q", len(puts), server.objects["a"])
	}
	at, err := time.Parse("20060102T150405Z", puts[1].Header.Get("X-Amz-Date"))
	if err != nil || time.Until(at) < 30*time.Minute {
		t.Errorf("the second request is dated %s, %v", at, err)
	}
}

// Reading what is there but forbidden names the permission, and is no absence.
func TestForbiddenReading(t *testing.T) {
	var lines bytes.Buffer
	server := &fake{}
	s := startFake(t, server, store.S3Config{Log: zerolog.New(&lines)})
	if _, err := s.Put(t.Context(), "a", store.Write{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		reads := !r.URL.Query().Has("list-type")
		if reads {
			refuse(http.StatusForbidden, "AccessDenied")(0, w, r)
		}
		return reads
	}
	for _, op := range []string{"get", "head", "range"} {
		if err := operations(s)[op](t.Context()); !errors.Is(err, store.ErrUnexpected) || !strings.Contains(err.Error(), "s3:GetObject") {
			t.Errorf("%s: %v", op, err)
		}
	}
	if !strings.Contains(lines.String(), `"grant":"s3:GetObject"`) {
		t.Errorf("logged: %s", lines.String())
	}
}
