//go:build kubernetes

package kubernetes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Of each kind of plain client; pause is between the requests of one.
const (
	loadKeys = 64
	readers  = 3
	writers  = 2
	pause    = 10 * time.Millisecond
)

// counts are what the callers of one kind saw.
type counts struct {
	Requests int      `json:"requests"`
	Failed   int      `json:"failed"`
	Stale    int      `json:"stale"` // reads of less than was acknowledged before they began
	Failures []string `json:"failures"`

	mu   sync.Mutex
	last time.Time     // when a request went well
	gap  time.Duration // the longest time in which none did
}

func (c *counts) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Requests++
	if err != nil {
		c.Failed++
		c.Failures = append(c.Failures, time.Now().Format(time.TimeOnly+".000 ")+err.Error())
		return
	}
	if now := time.Now(); !c.last.IsZero() {
		c.gap = max(c.gap, now.Sub(c.last))
		c.last = now
	} else {
		c.last = now
	}
}

// A load reads and writes through the Service until it is stopped: plain clients
// with kept connections, some with a connection for each request, and the Python client.
type load struct {
	kept, fresh, python counts

	stop   context.CancelFunc
	end    sync.WaitGroup
	answer *bufio.Reader
	stdin  io.Closer
	cmd    *exec.Cmd
}

func startLoad(t *testing.T, addr, token string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	l.startPython(ctx, t, addr, token)
	for name, c := range map[string]*counts{"kept": &l.kept, "fresh": &l.fresh} {
		if err := l.startPlain(ctx, name, c, addr, token); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// startPlain starts the readers and writers of one kind.
func (l *load) startPlain(ctx context.Context, name string, c *counts, addr, token string) error {
	acked := make([]atomic.Int64, loadKeys)
	path := func(key int) string { return fmt.Sprintf("/v1/objects/%s-%d", name, key) }
	padding := strings.Repeat("x", 4096)
	body := func(number int64) []byte { return fmt.Appendf(nil, "%d %s", number, padding) }
	client := func() *plain { return &plain{addr: addr, token: token, fresh: name == "fresh"} }
	first := client()
	defer first.close()
	for key := range loadKeys {
		if _, err := first.do("PUT", path(key), body(0)); err != nil {
			return fmt.Errorf("the first objects: %w", err)
		}
	}
	each := func(worker func(*plain, int)) {
		l.end.Go(func() {
			own := client()
			defer own.close()
			for i := 0; ctx.Err() == nil; i++ {
				worker(own, i)
				time.Sleep(pause) // so that the clients take no more than a share of the machine
			}
		})
	}
	for w := range writers {
		each(func(own *plain, i int) {
			key, number := (i*writers+w)%loadKeys, int64(i*writers/loadKeys+1)
			_, err := own.do("PUT", path(key), body(number))
			if err == nil {
				acked[key].Store(number)
			}
			c.add(err)
		})
	}
	for r := range readers {
		each(func(own *plain, i int) {
			key := (r + 7*i) % loadKeys
			least := acked[key].Load()
			data, err := own.do("GET", path(key), nil)
			c.add(err)
			text, _, _ := strings.Cut(string(data), " ")
			if number, bad := strconv.ParseInt(text, 10, 64); err == nil && (bad != nil || number < least) {
				c.mu.Lock()
				c.Stale++
				c.mu.Unlock()
			}
		})
	}
	return nil
}

func (l *load) startPython(ctx context.Context, t *testing.T, addr, token string) {
	t.Helper()
	l.cmd = exec.CommandContext(ctx, *source+"/python/.venv/bin/python", testdata("load.py"), "http://"+addr)
	l.cmd.Env = append(os.Environ(), "LARDER_TOKEN="+token)
	l.cmd.Stderr = os.Stderr
	l.cmd.Cancel = func() error { return l.stdin.Close() }
	l.cmd.WaitDelay = 2 * time.Minute
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if l.stdin, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.answer = bufio.NewReader(stdout)
	if line, err := l.answer.ReadString('\n'); err != nil {
		t.Fatalf("the Python client: %q: %v", line, err)
	}
}

// finish ends the load, and returns when the last request has been answered.
func (l *load) finish(t *testing.T) {
	t.Helper()
	if err := l.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	line, err := l.answer.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the Python client: %v", err)
	}
	if err := json.Unmarshal(line, &l.python); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Wait(); err != nil {
		t.Fatalf("the Python client: %v", err)
	}
	l.stop()
	l.end.Wait()
}
