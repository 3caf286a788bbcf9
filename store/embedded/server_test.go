package embedded_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/store"
	"larder/store/embedded"
	"larder/store/storetest"
)

// start is a store on a folder that is served until the test ends.
func start(t testing.TB, cfg embedded.Config) *store.S3 {
	t.Helper()
	s, err := store.NewS3(t.Context(), serve(t, cfg).S3Config())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve(t testing.TB, cfg embedded.Config) *embedded.Server {
	t.Helper()
	cfg.Log = zerolog.New(zerolog.NewTestWriter(t))
	server, err := embedded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	wait, cancelWait := context.WithTimeout(ctx, 10*time.Second)
	defer cancelWait()
	if err := server.Ready(wait); err != nil {
		t.Fatal(err)
	}
	return server
}

func TestConformance(t *testing.T) {
	t.Parallel() // it waits for the disk
	for name, addr := range map[string]string{"socket": "", "port": "127.0.0.1:0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) store.Store {
				return start(t, embedded.Config{Dir: t.TempDir(), Addr: addr})
			})
			storetest.RunUploads(t, func(t *testing.T) storetest.Uploader {
				return start(t, embedded.Config{Dir: t.TempDir(), Addr: addr})
			})
		})
	}
}

func sha256Hex(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// TestOneProcessPerFolder wants a second server to be told what to do, and the
// folder to be free when the first has ended.
func TestOneProcessPerFolder(t *testing.T) {
	dir := t.TempDir()
	t.Run("first", func(t *testing.T) {
		start(t, embedded.Config{Dir: dir})
		_, err := embedded.New(embedded.Config{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--data-dir") {
			t.Fatalf("the error is %v", err)
		}
	})
	start(t, embedded.Config{Dir: dir})
}

// TestWorkingDirectory runs two servers at once, with relative folders, and
// wants each to keep its own objects, whatever the working directory is.
func TestWorkingDirectory(t *testing.T) {
	home, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(home)
	one := start(t, embedded.Config{Dir: "one"})
	two := start(t, embedded.Config{Dir: "two"})
	if now, err := os.Getwd(); err != nil || now != home {
		t.Fatalf("the working directory is %s, %v", now, err)
	}
	t.Chdir(elsewhere)
	put(t, one, "v1/a", "one")
	put(t, two, "v1/a", "two")
	for s, want := range map[*store.S3]string{one: "one", two: "two"} {
		if _, body, err := s.Get(t.Context(), "v1/a", 10, nil); err != nil || string(body) != want {
			t.Errorf("%q, %v, want %q", body, err, want)
		}
		if err := s.Delete(t.Context(), "v1/a"); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) != 0 {
		t.Errorf("in the working directory: %v, %v", entries, err)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 2 {
		t.Errorf("beside the folders: %v, %v", entries, err)
	}
}

func TestRestart(t *testing.T) {
	cfg := embedded.Config{Dir: t.TempDir(), AccessKey: "access", SecretKey: "a secret", Bucket: "shelf"}
	t.Run("before", func(t *testing.T) { put(t, start(t, cfg), "v1/a", "kept") })
	if _, body, err := start(t, cfg).Get(t.Context(), "v1/a", 10, nil); err != nil || string(body) != "kept" {
		t.Fatalf("%q, %v", body, err)
	}
}

// TestCredentials wants nobody in without the right ones.
func TestCredentials(t *testing.T) {
	server := serve(t, embedded.Config{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	right := server.S3Config()
	for name, change := range map[string]func(*store.S3Config){
		"secret": func(c *store.S3Config) { c.SecretKey = "wrong" },
		"key":    func(c *store.S3Config) { c.AccessKey = "wrong" },
		"bucket": func(c *store.S3Config) { c.Bucket = "another" },
	} {
		cfg := right
		change(&cfg)
		s, err := store.NewS3(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnexpected) {
			t.Errorf("%s: ping: the error is %v", name, err)
		}
		if _, err := s.Put(t.Context(), "a", store.Write{}); !errors.Is(err, store.ErrUnexpected) {
			t.Errorf("%s: put: the error is %v", name, err)
		}
		if _, _, err := s.Get(t.Context(), "a", 1, nil); !errors.Is(err, store.ErrUnexpected) {
			t.Errorf("%s: get: the error is %v", name, err)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPost} {
		request, err := http.NewRequestWithContext(t.Context(), method, right.Endpoint+"/larder/a", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode/100 != 4 {
			t.Errorf("%s without credentials: %s", method, response.Status)
		}
	}
}

// TestStopAtAnyTime stops servers that have hardly begun.
func TestStopAtAnyTime(t *testing.T) {
	dir := t.TempDir()
	for n := range 50 {
		server, err := embedded.New(embedded.Config{Dir: dir, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*50*time.Microsecond)
		if err := server.Run(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		_ = server.Ready(late)
		cancel()
	}
}

func put(t *testing.T, s *store.S3, name, body string) {
	t.Helper()
	if _, err := s.Put(t.Context(), name, store.Write{Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}
