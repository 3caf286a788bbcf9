package embedded_test

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"larder/store"
	"larder/store/embedded"
)

// TestDiskRefuses has the file system refuse in the middle of a write, as a
// full disk does: the largest size of a file is limited for the process.
func TestDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{Dir: dir})
	put(t, s, "v1/kept", "kept")
	limitFiles(t, 1<<20)
	large := make([]byte, 4<<20)
	for _, name := range []string{"v1/new", "v1/kept"} {
		if _, err := s.Put(t.Context(), name, store.Write{Body: large}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("put %s: the error is %v", name, err)
		}
	}
	if _, body, err := s.Get(t.Context(), "v1/kept", 100, nil); err != nil || string(body) != "kept" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := s.Head(t.Context(), "v1/new"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("head: the error is %v", err)
	}
	put(t, s, "v1/small", "works")
	if left, err := os.ReadDir(filepath.Join(dir, "larder", ".sgwtmp")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// limitFiles limits the size of files that this process writes, for a test.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	limited := before
	limited.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
}

// TestFolderInTheWay wants a key that is another's folder refused for what it
// is, which no later try mends.
func TestFolderInTheWay(t *testing.T) {
	s := start(t, embedded.Config{Dir: t.TempDir()})
	put(t, s, "v1/a/b", "x")
	for _, name := range []string{"v1/a", "v1/a/b/c"} {
		_, err := s.Put(t.Context(), name, store.Write{})
		if !errors.Is(err, store.ErrUnexpected) || errors.Is(err, store.ErrConflict) {
			t.Errorf("put %s: the error is %v", name, err)
		}
		if _, err := s.Head(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("head %s: the error is %v", name, err)
		}
		if err := s.Delete(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}

// TestLeftovers wants what killed writes and uploads have left gone, and
// nothing else.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) { put(t, start(t, embedded.Config{Dir: dir}), "v1/a", "kept") })
	temporary := filepath.Join(dir, "larder", ".sgwtmp")
	leftover := filepath.Join(temporary, "0123.456")
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(temporary, "multipart", "upload"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, body, err := start(t, embedded.Config{Dir: dir}).Get(t.Context(), "v1/a", 10, nil); err != nil || string(body) != "kept" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := os.Stat(temporary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftovers: %v", err)
	}
}
