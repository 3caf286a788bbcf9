package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// frontRow is a GET from memory with the front and without it, beside nginx: requests,
// and the processor time of each.
func frontRow(b *testing.B, s *bench) {
	const row = "GET from the owner's memory, on the connection itself"
	node := func(front string) *testcluster.Node {
		return testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{"--memory", "512MiB", "--front=" + front}}).Nodes[0]
	}
	with, without := node("true"), node("false")
	cache, nginxProcess := nginx(b, s.rival(b, "bare"))
	for _, c := range []struct {
		what                   string
		size                   int64
		nginx, nginxCPU, plain float64 // targets; 0 is none
	}{
		{"1 KiB", 1 << 10, 1.15, 0.8, 1.9},
		{"64 KiB", 64 << 10, 1.0, 1.0, 1.7},
		{"1 MiB", 1 << 20, 1.3, 0, 0},
	} {
		d := demand{size: c.size, paths: []string{path(c.size, 0)}, conns: 64}
		rates, cpus := make([]func() float64, 3), make([][]float64, 3)
		for i, side := range []struct {
			addr string
			pid  int
		}{{with.HTTPAddr, with.Pid()}, {without.HTTPAddr, without.Pid()}, {cache, nginxProcess.Pid()}} {
			if i < 2 {
				store(b, side.addr, path(c.size, 0), body(c.size))
			}
			same(b, side.addr, path(c.size, 0), body(c.size))
			s.loadFor(b, side.addr, d, 500*time.Millisecond)
			rates[i] = func() float64 {
				before := usedByAll(b, side.pid)
				rate := s.load(b, side.addr, d)
				cpus[i] = append(cpus[i], 1e6*(usedByAll(b, side.pid)-before)/(rate*s.lasts.Seconds()))
				return rate
			}
		}
		m := turns(s.rounds, rates...)
		line := func(against, unit string, ours, theirs []float64, target report.Target) {
			l := report.Compared(row, c.what, against, unit, ours, theirs)
			if target.Value > 0 {
				l = l.Judged(target)
			}
			s.add(l)
		}
		line("nginx proxy_cache", "req/s", m[0], m[2], atLeast(c.nginx))
		line("nginx proxy_cache", "µs of processor/req", cpus[0], cpus[2], atMost(c.nginxCPU))
		line("--front=false", "req/s", m[0], m[1], atLeast(c.plain))
		line("--front=false", "µs of processor/req", cpus[0], cpus[1], report.Target{})
	}
}

// usedByAll is the processor time of a process and of those that it has started, in
// seconds: that of their threads, by the scheduler's own clock (nanoseconds, where ticks
// would be drawn by lot on a busy machine).
func usedByAll(b *testing.B, pid int) (sum float64) {
	b.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, process := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		threads, err := filepath.Glob("/proc/" + process + "/task/*/schedstat")
		if err != nil || len(threads) == 0 {
			b.Fatalf("process %s has no threads: %v", process, err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil { // it has just ended
				continue
			}
			var ns float64
			if _, err := fmt.Sscan(string(stat), &ns); err != nil {
				b.Fatal(err)
			}
			sum += ns / 1e9
		}
	}
	return sum
}
