package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"larder/store"
	"larder/store/embedded"
)

// writerDir makes the test binary a process that serves the folder, writes to
// it without end, and says on its standard output what was acknowledged.
const writerDir = "LARDER_TEST_WRITER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		// fasthttp keeps one clock for the whole process, and its pools look
		// once in ten seconds whether they were stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

func writeForEver(dir string) error {
	server, err := embedded.New(embedded.Config{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	if err := server.Ready(ctx); err != nil {
		return err
	}
	s, err := store.NewS3(ctx, server.S3Config())
	if err != nil {
		return err
	}
	round := os.Getenv("LARDER_TEST_ROUND")
	var said sync.Mutex
	for writer := range 8 {
		go func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("v1/org/objects/%s-%d-%d", round, writer, n)
				if n%3 == 0 { // and one name that is written over and over
					name = fmt.Sprintf("v1/org/objects/over-%d", writer)
				}
				_, err := s.Put(ctx, name, store.Write{Body: content(round, writer, n)})
				if err != nil {
					continue
				}
				said.Lock()
				fmt.Printf("%s %d %d\n", name, writer, n)
				said.Unlock()
			}
		}()
	}
	return <-ended
}

// content is different for every write, and of different sizes.
func content(round string, writer, n int) []byte {
	line := fmt.Sprintf("%s-%d-%d\n", round, writer, n)
	return bytes.Repeat([]byte(line), 1+n%500)
}

func TestKill(t *testing.T) {
	t.Parallel() // it waits for the disk
	dir := t.TempDir()
	want := map[string][]byte{} // by name, what was acknowledged last
	for round := range 3 {
		killWriter(t, dir, strconv.Itoa(round), 150, want)
		t.Run(fmt.Sprint(round), func(t *testing.T) { wantAll(t, dir, want) })
	}
}

// killWriter runs a writer and kills it after it has said n lines.
func killWriter(t *testing.T, dir, round string, n int, want map[string][]byte) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), writerDir+"="+dir, "LARDER_TEST_ROUND="+round)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for said := 0; lines.Scan(); said++ {
		if said == n {
			_ = command.Process.Kill()
		}
		fields := strings.Fields(lines.Text())
		writer, _ := strconv.Atoi(fields[1])
		count, _ := strconv.Atoi(fields[2])
		want[fields[0]] = content(round, writer, count)
	}
	if err := command.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}
}

// wantAll wants every object whole, and every acknowledged one there. A name
// that is written over may hold the write that came after the acknowledged
// one, whole.
func wantAll(t *testing.T, dir string, want map[string][]byte) {
	s := start(t, embedded.Config{Dir: dir})
	for name, body := range want {
		head, got, err := s.Get(t.Context(), name, 1<<20, nil)
		if err != nil {
			t.Errorf("acknowledged and lost: %v", err)
			continue
		}
		if strings.Contains(name, "over-") {
			wantWhole(t, name, head, got)
			continue
		}
		if !bytes.Equal(got, body) {
			t.Errorf("%s holds %d other bytes", name, len(got))
		}
	}
	after, more := "", true
	for listed := 0; more; {
		var entries []store.Entry
		var err error
		entries, more, err = s.List(t.Context(), "", after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			head, got, err := s.Get(t.Context(), entry.Name, 1<<20, nil)
			if err != nil {
				t.Error(err)
			}
			wantWhole(t, entry.Name, head, got)
			after = entry.Name
		}
		if listed += len(entries); !more && listed < len(want) {
			t.Errorf("%d listed, want %d at least", listed, len(want))
		}
	}
	leftovers, err := os.ReadDir(dir + "/larder/.sgwtmp")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, leftover := range leftovers {
		t.Errorf("left over: %s", leftover.Name())
	}
}

func wantWhole(t *testing.T, name string, head store.Head, got []byte) {
	t.Helper()
	if head.Digest != sha256Hex(got) || int64(len(got)) != head.Size {
		t.Errorf("%s is not whole: %+v and %d bytes", name, head, len(got))
	}
}
