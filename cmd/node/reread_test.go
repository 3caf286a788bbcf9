package main

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

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBad = errors.New("not good")

// watched is a file that run watches, in the time of a synctest bubble.
type watched struct {
	*testing.T
	*configFile

	mu    sync.Mutex // guards the fields below
	taken string
	told  []string
}

func (w *watched) keep(data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(string(data), "bad") {
		return errBad
	}
	w.taken = string(data)
	return nil
}

// Write hears what is logged.
func (w *watched) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := string(line)
	switch {
	case strings.Contains(log, "the file read again"):
		w.told = append(w.told, "good")
	case strings.Contains(log, "may be read or changed"):
		w.told = append(w.told, "mode")
	case !strings.Contains(log, w.path):
		w.Errorf("the error does not name the file: %s", log)
	case strings.Contains(log, errBad.Error()):
		w.told = append(w.told, "bad")
	case strings.Contains(log, "no such file"):
		w.told = append(w.told, "missing")
	case strings.Contains(log, "more than"):
		w.told = append(w.told, "large")
	}
	return len(line), nil
}

func watchedAt(t *testing.T, path string) *watched {
	w := &watched{T: t}
	w.configFile = &configFile{
		path: path, is: "the file", holds: "words", take: w.keep, count: func() int { return 1 }, unfit: 0o022, log: zerolog.New(w),
	}
	return w
}

// watch runs the test with a file that holds "one".
func watch(t *testing.T, test func(w *watched)) {
	path := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		w := watchedAt(t, path)
		w.write("one")
		if err := w.open(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.run(ctx); err != nil {
				t.Errorf("run = %v", err)
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

// after lets run look at the file some times, and checks what was taken last, and what was told since the call before.
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
	w := watchedAt(t, filepath.Join(t.TempDir(), "file"))
	if err := w.open(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), w.path) {
		t.Errorf("no file: %v", err)
	}
	w.write("bad")
	if err := w.open(); !errors.Is(err, errBad) || !strings.Contains(err.Error(), w.path) {
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
		w.write(strings.Repeat("x", rereadMost+1))
		w.after(3, "two", "large")
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

// TestState counts what was wrong, and the time since the file was good.
func TestState(t *testing.T) {
	watch(t, func(w *watched) {
		is := func(wrong int64, age time.Duration) {
			t.Helper()
			if n, a := w.state(); n != wrong || a.Round(time.Second) != age {
				t.Errorf("%d times wrong, good %s ago, want %d and %s", n, a, wrong, age)
			}
		}
		w.after(5, "one")
		is(0, 0)
		w.write("bad")
		w.after(10, "one", "bad")
		is(1, 10*time.Second)
		w.write("worse than bad")
		w.write("bad as before")
		w.after(10, "one", "bad")
		is(2, 20*time.Second)
		w.write("two")
		w.after(2, "two", "good")
		is(2, 0)
	})
}

// TestMode warns once of a mode that lets others write, and takes the file.
func TestMode(t *testing.T) {
	watch(t, func(w *watched) {
		w.must(os.Chmod(w.path, 0o666))
		w.after(3, "one", "mode")
		w.must(os.Chmod(w.path, 0o640))
		w.after(3, "one")
		w.must(os.Chmod(w.path, 0o660))
		w.write("two")
		w.after(3, "two", "mode", "good")
	})
}
