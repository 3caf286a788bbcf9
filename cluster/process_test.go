package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"larder/test/testcluster"
)

// childEnv holds the configuration of a node that runs in a process of its own:
// the test binary, started again.
const childEnv = "LARDER_CLUSTER_TEST_NODE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := runChild(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if code == 0 {
		code = leaks()
	}
	os.Exit(code)
}

// leaks waits for memberlist's last probes, which nothing can wait for, and
// then for nobody.
func leaks() int {
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := goleak.Find()
		if err == nil {
			return 0
		}
		if time.Now().After(deadline) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

// child is what a process tells about its node.
type child struct {
	Self   Member
	Gossip string
}

// runChild runs a node until standard input ends, so that no child outlives its
// test.
func runChild(spec string) error {
	cfg := Config{Label: "test", Secrets: &Secrets{}, Log: testcluster.Logger()}
	if err := cfg.Secrets.Take([]byte(testSecret)); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(spec), &cfg); err != nil {
		return fmt.Errorf("read %s: %w", childEnv, err)
	}
	c, err := New(cfg)
	if err != nil {
		return err
	}
	serveTestRoutes(c)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := json.NewEncoder(os.Stdout).Encode(child{Self: c.Self(), Gossip: c.sockets.addr().String()}); err != nil {
		return fmt.Errorf("tell who this is: %w", err)
	}
	return c.Run(ctx)
}

// serveTestRoutes adds a route that answers, one that never does, and one that counts
// those who wait for that.
func serveTestRoutes(c *Cluster) {
	c.Handle("ok", func(_ context.Context, asked Asked) Answer {
		body, err := io.ReadAll(asked.Body)
		if err != nil {
			return Answer{Status: http.StatusBadRequest}
		}
		return Answer{Status: http.StatusOK, Text: []byte(asked.Text), Body: body}
	})
	var hanging atomic.Int64
	c.Handle("hang", func(ctx context.Context, _ Asked) Answer {
		hanging.Add(1)
		<-ctx.Done()
		hanging.Add(-1)
		return Answer{Status: http.StatusOK}
	})
	c.Handle("hanging", func(context.Context, Asked) Answer {
		return Answer{Status: http.StatusOK, Text: fmt.Append(nil, hanging.Load())}
	})
}

// process is a node in a process of its own.
type process struct {
	child
	cmd *exec.Cmd
}

// spawn starts a node in a process of its own and kills it when the test ends.
func spawn(t *testing.T, name, gossipAddr, peerAddr string, join ...string) process {
	t.Helper()
	spec, err := json.Marshal(map[string]any{"Name": name, "GossipAddr": gossipAddr, "PeerAddr": peerAddr, "Join": join})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{cmd: cmd}
	t.Cleanup(func() {
		_ = stdin.Close()
		p.kill(t)
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%s did not start: %v", name, err)
	}
	if err := json.Unmarshal(line, &p.child); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill is kill -9.
func (p process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
}

// pause stops the process, and returns when it has stopped.
func (p process) pause(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err == nil && status.Stopped() {
			return
		}
		if err != syscall.EINTR {
			t.Fatalf("waiting for the process to stop: %v, status %v", err, status)
		}
	}
}

// resume lets the process go on.
func (p process) resume(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// hasMembers waits until n's members are exactly those.
func hasMembers(t *testing.T, n node, members ...Member) {
	t.Helper()
	testcluster.Soon(t, func() error {
		have := n.Members()
		if len(have) != len(members) {
			return fmt.Errorf("%s has members %v", n.self.Name, have)
		}
		for _, m := range members {
			if !contains(have, m) {
				return fmt.Errorf("%s lacks %s", n.self.Name, m.Name)
			}
		}
		return nil
	})
}

// departed reports whether n counts that start of a node among the dead.
func departed(n node, id string) bool {
	for _, d := range n.Departed(time.Minute) {
		if d.Member.ID == id {
			return true
		}
	}
	return false
}

func TestKilledNodeIsReplacedByItsRestart(t *testing.T) {
	a := start(t, "a")
	old := spawn(t, "b", "127.0.0.1:0", "127.0.0.1:0", a.gossipAddr())
	hasMembers(t, a, a.self, old.Self)

	old.kill(t)
	again := spawn(t, "b", "127.0.0.1:0", "127.0.0.1:0", a.gossipAddr())
	hasMembers(t, a, a.self, again.Self)
	if !departed(a, old.Self.ID) {
		t.Error("the start that was killed is not among the departed")
	}
	testcluster.Soon(t, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.records) != 2 {
			return fmt.Errorf("the old start is still known: %v", a.records)
		}
		return nil
	})
	hasMembers(t, a, a.self, again.Self)
}

// A node that comes back at the addresses of its last start must not answer in
// its name.
func TestRestartAtTheSameAddressAnswersForItselfOnly(t *testing.T) {
	a := start(t, "a")
	old := spawn(t, "b", "127.0.0.1:0", "127.0.0.1:0", a.gossipAddr())
	hasMembers(t, a, a.self, old.Self)
	post(t, a, old.Self) // leaves a connection that the restart will have closed

	old.kill(t)
	again := spawn(t, "b", old.Gossip, old.Self.PeerAddr) // nobody to join: it must be found
	testcluster.Soon(t, func() error {
		acks := a.Fanout(t.Context(), []Member{old.Self}, "ok", "")
		if !errors.Is(acks[0].Err, ErrUnreachable) {
			return fmt.Errorf("the old start answers: %v", acks[0].Err)
		}
		return nil
	})
	hasMembers(t, a, a.self, again.Self)
	post(t, a, again.Self)
	if err := a.Fanout(t.Context(), []Member{old.Self}, "ok", "")[0].Err; !errors.Is(err, ErrUnreachable) {
		t.Errorf("the old start answers after the new one is known: %v", err)
	}
}

// post fails the test unless m acknowledges.
// post asks a member, once it knows the asker for one too.
func post(t *testing.T, from node, m Member) {
	t.Helper()
	testcluster.Soon(t, func() error { return from.Fanout(t.Context(), []Member{m}, "ok", "x")[0].Err })
}

func TestPausedNodeComesBack(t *testing.T) {
	nodes := startAll(t, 2)
	b := spawn(t, "b", "127.0.0.1:0", "127.0.0.1:0", nodes[0].gossipAddr())
	for _, n := range nodes {
		hasMembers(t, n, nodes[0].self, nodes[1].self, b.Self)
	}
	b.pause(t)
	for _, n := range nodes {
		hasMembers(t, n, nodes[0].self, nodes[1].self)
		if !departed(n, b.Self.ID) {
			t.Errorf("%s does not count the paused node as departed", n.self.Name)
		}
	}
	b.resume(t)
	for _, n := range nodes {
		hasMembers(t, n, nodes[0].self, nodes[1].self, b.Self)
		if !departed(n, b.Self.ID) {
			t.Errorf("%s has forgotten that the node was away", n.self.Name)
		}
	}
	post(t, nodes[0], b.Self)
}

func TestFanoutWithDeadAndHungMembers(t *testing.T) {
	a := start(t, "a")
	well := start(t, "well", joining(a), before(serveTestRoutes))
	dead := spawn(t, "dead", "127.0.0.1:0", "127.0.0.1:0", a.gossipAddr())
	hung := spawn(t, "hung", "127.0.0.1:0", "127.0.0.1:0", a.gossipAddr())
	members := []Member{dead.Self, hung.Self, well.self}
	hasMembers(t, a, append(members, a.self)...)
	for _, m := range members {
		post(t, a, m)
	}

	dead.kill(t)
	hung.pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	acks := a.Fanout(ctx, members, "ok", "x")
	for i, m := range members {
		if acks[i].Member != m {
			t.Errorf("answer %d is of %s", i, acks[i].Member.Name)
		}
	}
	if err := acks[0].Err; err == nil { // the message may have gone out on a connection that was about to break
		t.Error("the dead member acknowledges")
	}
	if err := a.Fanout(t.Context(), members[:1], "ok", "")[0].Err; !errors.Is(err, ErrUnreachable) {
		t.Errorf("the dead member, asked again: %v", err)
	}
	if err := acks[1].Err; !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnreachable) {
		t.Errorf("the hung member: %v", err)
	}
	if err := acks[2].Err; err != nil {
		t.Errorf("the member that is well: %v", err)
	}

	// Without a deadline the wait for the hung member ends as well.
	if err := a.Fanout(t.Context(), members[1:2], "ok", "")[0].Err; err == nil {
		t.Error("the hung member acknowledges")
	}
}

// Nobody but the member can do what may be done once only: it is waited for
// until it is seen dead.
func TestMemberDiesAtWork(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, process)
		gone bool // only its being seen dead ends the waiting
	}{
		{"killed", func(t *testing.T, p process) { p.kill(t) }, false},
		{"hung", func(t *testing.T, p process) { p.pause(t) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := start(t, "a")
			b := spawn(t, "b", "127.0.0.1:0", "127.0.0.1:0", a.gossipAddr())
			hasMembers(t, a, a.self, b.Self)
			asked := func(want string) {
				testcluster.Soon(t, func() error {
					if n, err := ask(t.Context(), a, b.Self, Question{Route: "hanging"}); err != nil || string(n.Text) != want {
						return fmt.Errorf("%s are asked, %w", n.Text, err)
					}
					return nil
				})
			}
			asked("0") // b has a for a member, whom it would refuse otherwise
			waiting := make(chan error, 1)
			go func() {
				_, err := ask(context.Background(), a, b.Self, Question{Route: "hang", Once: true})
				waiting <- err
			}()
			asked("1")
			c.end(t, b)
			if err := <-waiting; err == nil || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrMemberGone) != c.gone {
				t.Error(err)
			}
		})
	}
}

func TestLeaveDoesNotWaitForAHungMember(t *testing.T) {
	nodes := startAll(t, 2)
	hung := spawn(t, "hung", "127.0.0.1:0", "127.0.0.1:0", nodes[0].gossipAddr())
	for _, n := range nodes {
		hasMembers(t, n, nodes[0].self, nodes[1].self, hung.Self)
	}
	hung.pause(t)
	if err := nodes[1].Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if contains(nodes[0].Members(), nodes[1].self) {
		t.Error("the member that answers still counts the one that left")
	}
}
