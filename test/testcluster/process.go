package testcluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exitLimit bounds the wait for a process that was told to end.
const exitLimit = 90 * time.Second

// Process is one command that can be started again and again. Its output goes
// to one log.
type Process struct {
	Name string

	t       testing.TB
	command func() []string // made anew for each start
	env     []string
	dir     string // where it runs, and where its log is
	pid     int    // of the process group, while it runs
	paused  bool
	exited  chan struct{}
	state   *os.ProcessState // once exited is closed
}

// NewProcess returns a process that was not started, and ends it with the test.
// Its log, NAME.log, is in dir; command is called before each start.
func NewProcess(t testing.TB, name, dir string, env []string, command func() []string) *Process {
	p := &Process{Name: name, t: t, command: command, env: env, dir: dir}
	t.Cleanup(p.cleanup)
	return p
}

// Launch starts the process, which must not run, and waits for nothing.
func (p *Process) Launch() {
	p.t.Helper()
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	args := p.command()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, log, log
	// A group of its own, and an end even if the test process has no time to clean up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.Name, err)
	}
	exited := make(chan struct{})
	p.pid, p.exited, p.paused = cmd.Process.Pid, exited, false
	go func() { // ends with the process, which cleanup ends
		defer close(exited)
		_ = cmd.Wait() // the state says how it ended
		p.state = cmd.ProcessState
	}()
}

// Pid is that of the running process.
func (p *Process) Pid() int { return p.pid }

// Running reports whether the process was started and has not ended.
func (p *Process) Running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.await()
}

// Stop ends the process with SIGTERM, waits, and fails the test unless it
// ended with status 0.
func (p *Process) Stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.await()
	if !p.state.Success() {
		p.t.Errorf("%s ended with %s after SIGTERM", p.Name, p.state)
	}
}

// Pause stops the process in its tracks (SIGSTOP), and waits until each of its
// threads stands still; its sockets stay open.
func (p *Process) Pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	p.paused = true
	Eventually(p.t, exitLimit, "all threads to stop", func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid()))
		if err != nil {
			return err
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			_, state, _ := strings.Cut(string(stat), ") ") // proc(5): the state comes after the name
			if err == nil && !strings.HasPrefix(state, "T") {
				return fmt.Errorf("%s is in state %.1s", thread, state)
			}
		}
		return nil
	})
}

// Resume lets a paused process go on.
func (p *Process) Resume() {
	p.t.Helper()
	p.paused = false
	p.signal(syscall.SIGCONT)
}

// Log is what all starts of the process have said so far.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (p *Process) logPath() string { return filepath.Join(p.dir, p.Name+".log") }

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	if !p.Running() {
		p.t.Fatalf("send %s to %s: it does not run", s, p.Name)
	}
	if err := syscall.Kill(-p.pid, s); err != nil {
		p.t.Fatalf("send %s to %s: %v", s, p.Name, err)
	}
}

func (p *Process) await() {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(exitLimit):
		p.t.Fatalf("%s did not end within %s", p.Name, exitLimit)
	}
}

// cleanup ends the process, and looks through its log.
func (p *Process) cleanup() {
	if p.Running() {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // it may have ended just now
		<-p.exited
	}
	log := p.Log()
	for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: ", `"panic in a`} {
		if strings.Contains(log, sign) {
			p.t.Errorf("the log of %s holds %q", p.Name, strings.TrimSpace(sign))
		}
	}
	if p.t.Failed() {
		p.t.Logf("--- log of %s\n%s", p.Name, tail(log))
	}
}

// tail is the end of a log.
func tail(log string) string {
	const most = 16 << 10
	if len(log) <= most {
		return log
	}
	return fmt.Sprintf("(%d bytes before)\n%s", len(log)-most, log[len(log)-most:])
}
