package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if _, err := Open(Config{Path: path, ValidOrg: anyOrg}, zerolog.Nop()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	write(t, path, "- id: a\n")
	if _, err := Open(Config{Path: path, ValidOrg: anyOrg}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a wrong file: %v", err)
	}
	if _, err := Open(Config{Path: path}, zerolog.Nop()); err == nil {
		t.Error("a config without ValidOrg is taken")
	}
}

// watched is a tokens file that Run watches, in the time of a synctest bubble.
type watched struct {
	*testing.T
	path   string
	tokens *Tokens
	logged locked
}

// locked is a buffer that the test and Run share.
type locked struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns what was written since the last call.
func (l *locked) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// watch runs the test with a file that holds the token "one". Time passes only
// where the test sleeps.
func watch(t *testing.T, test func(w *watched)) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	synctest.Test(t, func(t *testing.T) {
		w := &watched{T: t, path: path}
		writeEntries(t, path, entry("one", "one"))
		var err error
		w.tokens, err = Open(Config{Path: path, ValidOrg: anyOrg}, zerolog.New(&w.logged))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.tokens.Run(ctx); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
		test(w)
		cancel()
		running.Wait()
	})
}

// polls lets Run look at the file n times.
func (w *watched) polls(n int) {
	time.Sleep(time.Duration(n) * time.Second)
	synctest.Wait()
}

// knows checks which tokens are good, and how many errors were logged since
// the last call.
func (w *watched) knows(errorsLogged int, tokens ...string) {
	w.Helper()
	for _, token := range []string{"one", "two"} {
		want := false
		for _, good := range tokens {
			want = want || good == token
		}
		if _, err := w.tokens.Authenticate("Bearer " + token); (err == nil) != want {
			w.Errorf("token %s: %v, want it good: %v", token, err, want)
		}
	}
	log := w.logged.take()
	if n := strings.Count(log, `"level":"error"`); n != errorsLogged {
		w.Errorf("%d errors are logged, want %d: %s", n, errorsLogged, log)
	}
}

func TestRunReadsAgain(t *testing.T) {
	watch(t, func(w *watched) {
		w.polls(2)
		w.knows(0, "one")
		writeEntries(t, w.path, entry("one", "one"), entry("two", "two"))
		w.knows(0, "one")
		w.polls(1)
		w.knows(0, "one", "two")
		writeEntries(t, w.path, entry("two", "two"))
		w.polls(1)
		w.knows(0, "two")
		writeEntries(t, w.path)
		w.polls(1)
		w.knows(0)
	})
}

// TestRunSameStamp writes in place and leaves the size and the time as they were.
func TestRunSameStamp(t *testing.T) {
	watch(t, func(w *watched) {
		before, err := os.Stat(w.path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal([]Entry{entry("two", "two")})
		if err != nil {
			t.Fatal(err)
		}
		write(t, w.path, string(data))
		if err := os.Chtimes(w.path, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		w.polls(1)
		w.knows(0, "two")
	})
}

// TestRunLinkSwap changes the file as Kubernetes changes a mounted secret: the
// file is a link into a folder that is itself a link, which is replaced.
func TestRunLinkSwap(t *testing.T) {
	watch(t, func(w *watched) {
		dir := filepath.Dir(w.path)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"one", "two"} {
			must(os.Mkdir(filepath.Join(dir, name), 0o700))
			writeEntries(t, filepath.Join(dir, name, "tokens.json"), entry(name, name))
		}
		must(os.Symlink("one", filepath.Join(dir, "data")))
		must(os.Remove(w.path))
		must(os.Symlink("data/tokens.json", w.path))
		w.polls(1)
		w.knows(0, "one")
		must(os.Symlink("two", filepath.Join(dir, "data.new")))
		must(os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
		w.polls(1)
		w.knows(0, "two")
	})
}

func TestRunKeepsTokens(t *testing.T) {
	watch(t, func(w *watched) {
		write(t, w.path, "- id: lrd_")
		w.polls(5)
		w.knows(1, "one")
		write(t, w.path, "")
		w.polls(5)
		w.knows(1, "one")
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.polls(5)
		w.knows(1, "one")
		writeEntries(t, w.path, entry("one", "one"))
		w.polls(1)
		w.knows(0, "one")
		write(t, w.path, "no list")
		w.polls(1)
		w.knows(1, "one")
		writeEntries(t, w.path, entry("two", "two"))
		w.polls(1)
		w.knows(0, "two")
	})
}
