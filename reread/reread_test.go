package reread

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBad = errors.New("not good")

// watched is a file that Run watches, in the time of a synctest bubble.
type watched struct {
	*testing.T
	path string

	mu    sync.Mutex // guards the fields below
	taken string
	told  []string
}

func (w *watched) take(data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(string(data), "bad") {
		return errBad
	}
	w.taken = string(data)
	return nil
}

func (w *watched) hear(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.told = append(w.told, "good")
	case !strings.Contains(err.Error(), w.path):
		w.Errorf("the error does not name the file: %v", err)
	case errors.Is(err, errBad):
		w.told = append(w.told, "bad")
	case errors.Is(err, os.ErrNotExist):
		w.told = append(w.told, "missing")
	}
}

// watch runs the test with a file that holds "one".
func watch(t *testing.T, test func(w *watched)) {
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		w := &watched{T: t, path: path}
		w.write("one")
		f, err := Open(path, w.take)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := f.Run(ctx, time.Second, w.hear); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
		test(w)
		cancel()
		running.Wait()
	})
}

func (w *watched) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *watched) write(data string) {
	w.Helper()
	w.must(os.WriteFile(w.path, []byte(data), 0o600))
}

// after lets Run look at the file some times, and checks what was taken last, and what was told since the call before.
func (w *watched) after(looks int, taken string, told ...string) {
	w.Helper()
	time.Sleep(time.Duration(looks) * time.Second)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken != taken || !slices.Equal(w.told, told) {
		w.Errorf("taken is %q and told %q, want %q and %q", w.taken, w.told, taken, told)
	}
	w.told = nil
}

func TestOpenRefuses(t *testing.T) {
	w := &watched{T: t, path: filepath.Join(t.TempDir(), "file")}
	if _, err := Open(w.path, w.take); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), w.path) {
		t.Errorf("no file: %v", err)
	}
	w.write("bad")
	if _, err := Open(w.path, w.take); !errors.Is(err, errBad) || !strings.Contains(err.Error(), w.path) {
		t.Errorf("a file that is not taken: %v", err)
	}
}

func TestRun(t *testing.T) {
	watch(t, func(w *watched) {
		w.after(3, "one")
		w.write("two")
		w.after(3, "two", "good")
		w.write("bad")
		w.after(3, "two", "bad")
		w.must(os.Remove(w.path))
		w.after(3, "two", "missing")
		w.write("two")
		w.after(3, "two", "good")
		w.write("bad again")
		w.after(3, "two", "bad")
		w.write("")
		w.after(1, "", "good")
	})
}

// TestSameStamp writes in place and leaves the size and the time as they were.
func TestSameStamp(t *testing.T) {
	watch(t, func(w *watched) {
		before, err := os.Stat(w.path)
		w.must(err)
		w.write("two")
		w.must(os.Chtimes(w.path, before.ModTime(), before.ModTime()))
		w.after(1, "two", "good")
	})
}

// TestLinkSwap changes the file as Kubernetes changes a mounted secret: the file is a link into a folder that is itself
// a link, which is replaced.
func TestLinkSwap(t *testing.T) {
	watch(t, func(w *watched) {
		dir := filepath.Dir(w.path)
		for _, name := range []string{"one", "two"} {
			w.must(os.Mkdir(filepath.Join(dir, name), 0o700))
			w.must(os.WriteFile(filepath.Join(dir, name, "file"), []byte(name), 0o600))
		}
		w.must(os.Symlink("one", filepath.Join(dir, "data")))
		w.must(os.Remove(w.path))
		w.must(os.Symlink("data/file", w.path))
		w.after(1, "one")
		w.must(os.Symlink("two", filepath.Join(dir, "data.new")))
		w.must(os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
		w.after(1, "two", "good")
	})
}
