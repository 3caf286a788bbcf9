package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
)

func TestLeaveIsSeenByAllBeforeItReturns(t *testing.T) {
	nodes := startAll(t, 3, before(serveTestRoutes))
	leaver := nodes[1]
	if err := leaver.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if contains(n.Members(), leaver.self) {
			t.Errorf("%s still counts the member that left", n.self.Name)
		}
		if len(n.Members()) != 2 {
			t.Errorf("%s has members %v", n.self.Name, n.Members())
		}
		if len(n.Departed(time.Hour)) > 0 {
			t.Errorf("%s counts a goodbye as a death", n.self.Name)
		}
	}
	for hash := range uint64(100) {
		if m, self := leaver.Owner(hash << 56); self || m == leaver.self {
			t.Fatal("the member that left owns a key")
		}
	}

	// It goes on serving and asking while its last requests drain.
	post(t, leaver, nodes[0].self)
	if err := leaver.Leave(t.Context()); err != nil {
		t.Errorf("leaving again: %v", err)
	}
	testcluster.Soon(t, func() error { // memberlist's own goodbye, after which the member is forgotten
		if err := nodes[0].Fanout(t.Context(), []Member{leaver.self}, "ok", "")[0].Err; !errors.Is(err, ErrMemberGone) {
			return fmt.Errorf("asking the member that left: %v", err)
		}
		return nil
	})
	leaver.stop()
	if len(nodes[0].Departed(time.Hour)) > 0 {
		t.Error("the end of a member that had left counts as a death")
	}
}

// Nobody hears of the leaving before this node's own users have given up what
// they held on trust.
func TestLeaveTellsItsOwnUsersFirst(t *testing.T) {
	a := start(t, "a")
	resume := make(chan struct{})
	var leaving atomic.Bool
	b := start(t, "b", joining(a), before(func(c *Cluster) {
		c.OnChange(func() {
			if leaving.Load() {
				<-resume
			}
		})
	}))
	agree(t, a, b)
	leaving.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := b.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("left while its own users were busy: %v", err)
	}
	if !contains(a.Members(), b.self) {
		t.Error("told the others first")
	}
	close(resume)
	if err := b.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if contains(a.Members(), b.self) {
		t.Error("left without telling")
	}
}

// Leave does not rest on gossip, which may be late or lost.
func TestLeaveWithoutGossip(t *testing.T) {
	var net network
	nodes := startAll(t, 3, net.setup())
	net.split(nodes[1])
	if err := nodes[1].Leave(t.Context()); err != nil {
		t.Error(err)
	}
	for _, n := range nodes {
		if contains(n.Members(), nodes[1].self) {
			t.Errorf("%s still counts the member that left", n.self.Name)
		}
	}
}

// A request that a member took before it left is answered.
func TestLeaveLetsRequestsEnd(t *testing.T) {
	entered, resume := make(chan struct{}), make(chan struct{})
	a := start(t, "a")
	b := start(t, "b", joining(a), before(func(c *Cluster) {
		c.Handle("slow", func(context.Context, Asked) Answer {
			close(entered)
			<-resume
			return Answer{Status: http.StatusOK, Text: []byte("done")}
		})
	}))
	agree(t, a, b)
	answer := make(chan string)
	go func() {
		said, err := ask(t.Context(), a, b.self, Question{Route: "slow", Once: true})
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- string(said.Text)
	}()
	<-entered
	if err := b.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	testcluster.Soon(t, func() error {
		if a.poolOf(b.self.ID) != nil {
			return errors.New("a has not seen b leave")
		}
		return nil
	})
	close(resume)
	if got := <-answer; got != "done" {
		t.Errorf("got %q", got)
	}
}

func TestLeaveAlone(t *testing.T) {
	n := start(t, "a")
	testcluster.Soon(t, func() error {
		if !n.Joined() {
			return errors.New("not joined")
		}
		return nil
	})
	if err := n.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if len(n.Members()) != 0 {
		t.Errorf("members %v", n.Members())
	}
	if m, self := n.Owner(1); !self || m != n.self {
		t.Error("a node alone must own, whatever it does")
	}
	n.stop()
	if err := n.Leave(t.Context()); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func TestRingChangesAreTold(t *testing.T) {
	var told atomic.Uint64
	a := start(t, "a", before(func(c *Cluster) { c.OnChange(func() { told.Store(c.ring.Load().version) }) }))
	was := a.ring.Load().version
	b := start(t, "b", joining(a))
	agree(t, a, b)
	if a.ring.Load().version == was {
		t.Error("a join did not change the ring's version")
	}
	testcluster.Soon(t, func() error {
		if told.Load() != a.ring.Load().version {
			return fmt.Errorf("version %d told, %d there", told.Load(), a.ring.Load().version)
		}
		return nil
	})
	b.stop()
	hasMembers(t, a, a.self)
	testcluster.Soon(t, func() error {
		if told.Load() != a.ring.Load().version {
			return fmt.Errorf("version %d told, %d there", told.Load(), a.ring.Load().version)
		}
		return nil
	})
}

func TestNewSaysWhatToChange(t *testing.T) {
	n := start(t, "a")
	good := Config{Name: "b", GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Log: testcluster.Logger()}
	for want, change := range map[string]func(*Config){
		"--gossip-addr " + n.gossipAddr(): func(c *Config) { c.GossipAddr = n.gossipAddr() },
		"--peer-addr " + n.self.PeerAddr:  func(c *Config) { c.PeerAddr = n.self.PeerAddr },
		"--gossip-addr here":              func(c *Config) { c.GossipAddr = "here" },
		"--join b":                        func(c *Config) { c.Join = []string{"b"} },
		"--join dns+b:0":                  func(c *Config) { c.Join = []string{"dns+b:0"} },
		"--name: a node needs":            func(c *Config) { c.Name = "" },
		"--name and --advertise":          func(c *Config) { c.Name = strings.Repeat("n", 500) },
		"--advertise":                     func(c *Config) { c.Advertise = "no.such.host.invalid" },
		"label":                           func(c *Config) { c.Label = strings.Repeat("l", 256) },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no word of %q", err, want)
		}
	}
}

func TestAdvertise(t *testing.T) {
	for _, c := range []struct{ bind, advertise, host string }{
		{"127.0.0.1:0", "", "127.0.0.1"},
		{"127.0.0.1:0", "localhost", "localhost"},
		{"0.0.0.0:0", "127.0.0.1", "127.0.0.1"},
	} {
		n := start(t, "a", config(func(cfg *Config) {
			cfg.GossipAddr, cfg.PeerAddr, cfg.Advertise = c.bind, c.bind, c.advertise
		}), before(serveTestRoutes))
		if host, _, ok := strings.Cut(n.self.PeerAddr, ":"); !ok || host != c.host {
			t.Errorf("bound to %s, advertising %q: peers are told %s", c.bind, c.advertise, n.self.PeerAddr)
		}
		other := start(t, "b", joining(n))
		agree(t, n, other)
		post(t, other, n.self)
	}
}

func TestRunWithAnEndedContextClosesThePorts(t *testing.T) {
	cfg := Config{Name: "a", GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Log: testcluster.Logger()}
	for range 2 {
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.GossipAddr, cfg.PeerAddr = c.sockets.addr().String(), c.self.PeerAddr
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}
}
