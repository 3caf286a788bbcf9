package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wrkLimit is the length of a body from which on wrk, which reads in pieces of
// 8 KiB, would be the limit.
const wrkLimit = 1 << 20

// demand is what a load generator asks for.
type demand struct {
	size  int64
	paths []string // no two requests under way are for the same
	conns int
}

// load is the requests per second that a server at addr answers.
func (s *bench) load(b *testing.B, addr string, d demand) float64 {
	b.Helper()
	return s.loadFor(b, addr, d, s.lasts)
}

func (s *bench) loadFor(b *testing.B, addr string, d demand, lasts time.Duration) float64 {
	b.Helper()
	if d.size < wrkLimit {
		return s.wrk(b, addr, d, lasts)
	}
	return s.loadWith(b, addr, "http", d, lasts)
}

// loadWith is what our own load generator measures.
func (s *bench) loadWith(b *testing.B, addr, protocol string, d demand, lasts time.Duration) float64 {
	b.Helper()
	paths := filepath.Join(b.TempDir(), "paths")
	if err := os.WriteFile(paths, []byte(strings.Join(d.paths, "\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	out := output(b, s.program("load"), "-addr", addr, "-paths", paths, "-protocol", protocol,
		"-size", strconv.FormatInt(d.size, 10), "-conns", strconv.Itoa(d.conns), "-for", lasts.String())
	var o struct {
		Requests int
		Seconds  float64
	}
	if err := json.Unmarshal(out, &o); err != nil {
		b.Fatalf("load says %q: %v", out, err)
	}
	return float64(o.Requests) / o.Seconds
}

// inTurn is a script for wrk that asks for the paths of a file in turn, one
// thread for every second of them and the other for the rest.
const inTurn = `
local requests, at, threads = {}, 0, 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init()
  local line = 0
  for path in io.lines(%q) do
    if line %% 2 == number then requests[#requests + 1] = wrk.format("GET", path) end
    line = line + 1
  end
end
function request() at = at %% #requests + 1; return requests[at] end
`

func (s *bench) wrk(b *testing.B, addr string, d demand, lasts time.Duration) float64 {
	b.Helper()
	paths := filepath.Join(b.TempDir(), "paths")
	if err := os.WriteFile(paths, []byte(strings.Join(d.paths, "\n")), 0o600); err != nil {
		b.Fatal(err)
	}
	args := []string{"-t", "2", "-c", strconv.Itoa(d.conns), "-d", strconv.Itoa(int(max(1, lasts.Seconds()))) + "s"}
	if len(d.paths) > 1 {
		script := paths + ".lua"
		if err := os.WriteFile(script, fmt.Appendf(nil, inTurn, paths), 0o600); err != nil {
			b.Fatal(err)
		}
		args = append(args, "-s", script)
	}
	rate, err := wrkRate(string(output(b, "wrk", append(args, "http://"+addr+d.paths[0])...)))
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// wrkRate finds the requests per second in what wrk printed.
func wrkRate(out string) (float64, error) {
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		return 0, fmt.Errorf("wrk met errors:\n%s", out)
	}
	_, rate, ok := strings.Cut(out, "Requests/sec:")
	rate, _, _ = strings.Cut(rate, "\n")
	if !ok {
		return 0, fmt.Errorf("wrk printed no rate:\n%s", out)
	}
	return strconv.ParseFloat(strings.TrimSpace(rate), 64)
}

func output(b *testing.B, name string, args ...string) []byte {
	b.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v\n%s%s", name, err, out, &stderr)
	}
	return out
}

// same ends the benchmark unless a server has these bytes.
func same(b *testing.B, addr, path string, want []byte) {
	b.Helper()
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
		b.Fatalf("get %s from %s: %s, %d bytes, %v; want %d bytes", path, addr, resp.Status, len(got), err, len(want))
	}
}

// store puts an object through a node.
func store(b *testing.B, addr, path string, body []byte) {
	b.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		b.Fatalf("put %s: %s", path, resp.Status)
	}
}

func TestWrkRate(t *testing.T) {
	const good = "  Latency  1ms\n  2 requests in 1s\nRequests/sec:  78613.55\nTransfer/sec:  1MB\n"
	if rate, err := wrkRate(good); err != nil || rate != 78613.55 {
		t.Errorf("rate %v, %v", rate, err)
	}
	for _, bad := range []string{"", "Requests/sec: x\n", "  Non-2xx or 3xx responses: 3\n" + good, "  Socket errors: connect 0, read 1\n" + good} {
		if _, err := wrkRate(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}
