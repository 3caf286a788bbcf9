package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/store"
)

// scripted is a server that answers as the test says, and counts.
type scripted struct {
	mu       sync.Mutex
	requests []string
	answer   func(n int, w http.ResponseWriter, r *http.Request)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, r.Method)
	n := len(s.requests)
	s.mu.Unlock()
	s.answer(n, w, r)
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// observed collects what Observe is told.
type observed struct {
	mu  sync.Mutex
	ops []string
}

func (o *observed) observe(op string, err error, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		op += " failed"
	}
	o.ops = append(o.ops, op)
}

func script(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) (*scripted, *store.S3, *observed) {
	t.Helper()
	server, seen := &scripted{answer: answer}, &observed{}
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return server, newStore(t, store.S3Config{Endpoint: listening.URL, Observe: seen.observe}), seen
}

func refuse(status int, code string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>told so</Message></Error>", code)
	}
}

func operations(s store.Store) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"get":   func(ctx context.Context) error { _, _, err := s.Get(ctx, "a", 10, nil); return err },
		"range": func(ctx context.Context) error { _, _, err := s.GetRange(ctx, "a", "v", 0, 10); return err },
		"list":  func(ctx context.Context) error { _, _, err := s.List(ctx, "a", "", 10); return err },
		"put": func(ctx context.Context) error {
			_, err := s.Put(ctx, "a", store.Write{Body: []byte("x")})
			return err
		},
		"delete": func(ctx context.Context) error { return s.Delete(ctx, "a") },
		"head":   func(ctx context.Context) error { _, err := s.Head(ctx, "a"); return err },
		"ping":   s.Ping,
	}
}

// TestErrors wants each answer of S3 to become the right error, after the
// right number of requests: reads are tried three times while S3 is
// unavailable, writes never twice.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   error
		reads  int
	}{
		{500, "InternalError", store.ErrUnavailable, 3},
		{503, "SlowDown", store.ErrUnavailable, 3},
		{503, "ServiceUnavailable", store.ErrUnavailable, 3},
		{502, "", store.ErrUnavailable, 3},
		{507, "InsufficientStorage", store.ErrUnavailable, 3},
		{429, "TooManyRequests", store.ErrUnavailable, 3},
		{403, "AccessDenied", store.ErrUnexpected, 1},
		{403, "InvalidAccessKeyId", store.ErrUnexpected, 1},
		{403, "SignatureDoesNotMatch", store.ErrUnexpected, 1},
		{404, "NoSuchBucket", store.ErrUnexpected, 1},
		{404, "XAdminUserNotFound", store.ErrUnexpected, 1},
		{404, "", store.ErrUnexpected, 1},
		{301, "PermanentRedirect", store.ErrUnexpected, 1},
		{400, "InvalidRequest", store.ErrUnexpected, 1},
		{501, "NotImplemented", store.ErrUnexpected, 1},
		{409, "ConditionalRequestConflict", store.ErrConflict, 1},
		{409, "ExistingObjectIsDirectory", store.ErrUnexpected, 1},
		{412, "PreconditionFailed", store.ErrPrecondition, 1},
	} {
		server, s, seen := script(t, refuse(test.status, test.code))
		for op, run := range operations(s) {
			// The answer to HEAD has no body, and so no code: the status counts.
			if op == "head" || op == "ping" {
				continue
			}
			before := server.count()
			err := run(t.Context())
			if !errors.Is(err, test.want) || (test.code != "" && !strings.Contains(err.Error(), test.code)) {
				t.Errorf("%d %s to %s: the error is %v, want %v", test.status, test.code, op, err, test.want)
			}
			want := test.reads
			switch {
			case op == "put" && (test.code == "InvalidRequest" || test.code == "NotImplemented" || test.code == "SignatureDoesNotMatch"):
				want = 2 // it may be the checksum header that is refused, or that a proxy has dropped
			case op == "put" || op == "delete":
				want = 1
			case test.code == "AccessDenied" && (op == "get" || op == "range"):
				want = 2 // a listing tells whether the object is there
			}
			if got := server.count() - before; got != want {
				t.Errorf("%d %s to %s: %d requests, want %d", test.status, test.code, op, got, want)
			}
		}
		if len(seen.ops) != server.count() {
			t.Errorf("%d requests were observed of %d", len(seen.ops), server.count())
		}
	}
}

func TestAbsence(t *testing.T) {
	_, s, _ := script(t, refuse(http.StatusNotFound, "NoSuchKey"))
	for op, want := range map[string]error{
		"get": store.ErrNotFound, "head": store.ErrNotFound, "range": store.ErrPrecondition,
		"delete": nil, "ping": store.ErrUnexpected,
	} {
		if err := operations(s)[op](t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: the error is %v, want %v", op, err, want)
		}
	}
	_, err := s.Put(t.Context(), "a", store.Write{Conditions: store.Conditions{IfMatch: "v"}})
	if !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("put: the error is %v", err)
	}
}

// TestRecovery wants a read to survive two bad answers of every kind.
func TestRecovery(t *testing.T) {
	whole := func(w http.ResponseWriter) {
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "0123456789")
	}
	for name, bad := range map[string]func(w http.ResponseWriter){
		"500": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"reset": func(w http.ResponseWriter) {
			connection, _, _ := w.(http.Hijacker).Hijack()
			_ = connection.(*net.TCPConn).SetLinger(0)
			_ = connection.Close()
		},
		"closed": func(w http.ResponseWriter) {
			connection, _, _ := w.(http.Hijacker).Hijack()
			_ = connection.Close()
		},
		"short": func(w http.ResponseWriter) {
			connection, out, _ := w.(http.Hijacker).Hijack()
			_, _ = out.WriteString("HTTP/1.1 206 Partial Content\r\nETag: \"v\"\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n01234")
			_ = out.Flush()
			_ = connection.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, s, _ := script(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				if n <= 2 {
					bad(w)
					return
				}
				whole(w)
			})
			head, body, err := s.Get(t.Context(), "a", 100, nil)
			if err != nil || string(body) != "0123456789" || head.Size != 10 {
				t.Fatalf("%q, %+v, %v", body, head, err)
			}
			_, s, _ = script(t, func(_ int, w http.ResponseWriter, _ *http.Request) { bad(w) })
			if _, body, err := s.Get(t.Context(), "a", 100, nil); !errors.Is(err, store.ErrUnavailable) || body != nil {
				t.Fatalf("%q, %v", body, err)
			}
		})
	}
}

// TestWrongAnswers wants answers that belong to another question refused.
func TestWrongAnswers(t *testing.T) {
	answer := func(etag, contentRange, body string) func(int, http.ResponseWriter, *http.Request) {
		return func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", etag)
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		answer func(int, http.ResponseWriter, *http.Request)
		want   error
	}{
		"another version": {answer(`"w"`, "bytes 5-9/10", "56789"), store.ErrPrecondition},
		"another place":   {answer(`"v"`, "bytes 0-4/10", "01234"), store.ErrUnexpected},
		"nonsense":        {answer(`"v"`, "bytes nonsense", "01234"), store.ErrUnexpected},
		"shorter object":  {answer(`"v"`, "bytes 5-6/7", "56"), store.ErrUnexpected},
		"fewer bytes":     {answer(`"v"`, "bytes 5-9/10", "56"), store.ErrUnavailable},
		"not a part": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v"`)
			_, _ = io.WriteString(w, "0123456789")
		}, store.ErrUnexpected},
	} {
		_, s, _ := script(t, test.answer)
		if _, body, err := s.GetRange(t.Context(), "a", "v", 5, 5); !errors.Is(err, test.want) || body != nil {
			t.Errorf("%s: %q, %v, want %v", name, body, err, test.want)
		}
	}
}

// TestUnknownOutcome wants a write whose answer cannot be understood to be
// ErrUnavailable, which says that it may have happened.
func TestUnknownOutcome(t *testing.T) {
	_, s, _ := script(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	if _, err := s.Put(t.Context(), "a", store.Write{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

// TestSilence wants a server that accepts and never answers to be unavailable
// in bounded time, and the caller's own end of patience to stay his.
func TestSilence(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := newStore(t, store.S3Config{Endpoint: "http://" + listener.Addr().String()})
	var all sync.WaitGroup
	defer all.Wait()
	for op, run := range operations(s) {
		all.Go(func() {
			begun := time.Now()
			if err := run(t.Context()); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: the error is %v", op, err)
			}
			// Far above the bound, far below for ever.
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("%s took %s", op, took)
			}
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := run(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: the error is %v", op, err)
			}
		})
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if err := run(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: the error is %v", op, err)
			}
		})
	}
}

// A request that its caller gives up, or has no memory for, is no fault of S3.
func TestGivenUpIsObservedAsSuch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var seen []error
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/larder/silent" {
			cancel()
			<-r.Context().Done()
			return
		}
		w.Header().Set("ETag", `"v"`)
		_, _ = io.WriteString(w, "0123456789")
	}))
	defer listening.Close()
	s := newStore(t, store.S3Config{Endpoint: listening.URL, Observe: func(_ string, err error, _ time.Duration) { seen = append(seen, err) }})
	full := errors.New("no memory")
	if _, _, err := s.Get(ctx, "a", 10, func(int64) ([]byte, error) { return nil, full }); !errors.Is(err, full) {
		t.Errorf("no memory: %v", err)
	}
	if _, err := s.Head(ctx, "silent"); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if len(seen) != 2 || !errors.Is(seen[0], context.Canceled) || !errors.Is(seen[1], context.Canceled) {
		t.Errorf("observed %q", seen)
	}
}

func TestNobodyListens(t *testing.T) {
	s := newStore(t, store.S3Config{Endpoint: "http://127.0.0.1:1"})
	for op, run := range operations(s) {
		if err := run(t.Context()); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, store.ErrNotWritten) {
			t.Errorf("%s: the error is %v", op, err)
		}
	}
}

// TestForeignObject reads what another tool wrote.
func TestForeignObject(t *testing.T) {
	_, s, _ := script(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Last-Modified", "Sun, 30 Jan 2022 12:00:00 GMT")
		w.Header().Set("X-Amz-Meta-Note", "100%41 of it")
		_, _ = io.WriteString(w, "0123456789")
	})
	head, body, err := s.Get(t.Context(), "a", 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != "0123" || head.Size != 10 || head.Meta["note"] != "100%41 of it" || head.Digest != "" ||
		!head.Modified.Equal(time.Date(2022, 1, 30, 12, 0, 0, 0, time.UTC)) {
		t.Fatalf("%q, %+v", body, head)
	}
}

// TestOneRequest wants every operation to be one request.
func TestOneRequest(t *testing.T) {
	endpoint := startMoto(t)
	var seen observed
	s := newStore(t, store.S3Config{Endpoint: endpoint, Observe: seen.observe})
	head, err := s.Put(t.Context(), "a", store.Write{Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error { _, _, err := s.Get(t.Context(), "a", 10, nil); return err }(),
		func() error { _, _, err := s.GetRange(t.Context(), "a", head.Version, 0, 1); return err }(),
		func() error { _, err := s.Head(t.Context(), "a"); return err }(),
		func() error { _, _, err := s.List(t.Context(), "", "", 10); return err }(),
		s.Ping(t.Context()),
		s.Delete(t.Context(), "a"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"put", "get", "get_range", "head", "list", "ping", "delete"}
	if !slices.Equal(seen.ops, want) {
		t.Fatalf("observed %q, want %q", seen.ops, want)
	}
}
