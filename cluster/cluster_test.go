package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

// node is a Cluster that runs in this process.
type node struct {
	*Cluster
	stop func() // ends Run without a goodbye and waits for it
}

const testSecret = "a secret of the tests"

// mustSecrets are the secrets in the lines.
func mustSecrets(t testing.TB, lines ...string) *Secrets {
	t.Helper()
	s := &Secrets{}
	if err := s.Take([]byte(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	return s
}

// setup changes what a test node is before it runs.
type setup func(*Config, *Cluster)

// start runs a node on loopback until the test ends.
func start(t *testing.T, name string, setups ...setup) node {
	t.Helper()
	cfg := Config{
		Name:       name,
		GossipAddr: "127.0.0.1:0",
		PeerAddr:   "127.0.0.1:0",
		Label:      "test",
		Secrets:    mustSecrets(t, testSecret),
		Log:        testcluster.Logger(),
	}
	for _, s := range setups {
		s(&cfg, nil)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	c.rejoin = 500 * time.Millisecond
	for _, s := range setups {
		s(nil, c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Errorf("run %s: %v", name, err)
		}
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return node{Cluster: c, stop: stop}
}

// config changes the node's configuration.
func config(f func(*Config)) setup {
	return func(cfg *Config, _ *Cluster) {
		if cfg != nil {
			f(cfg)
		}
	}
}

// before changes the node between New and Run.
func before(f func(*Cluster)) setup {
	return func(_ *Config, c *Cluster) {
		if c != nil {
			f(c)
		}
	}
}

func joining(nodes ...node) setup {
	return config(func(cfg *Config) {
		for _, n := range nodes {
			cfg.Join = append(cfg.Join, n.gossipAddr())
		}
	})
}

func (n node) gossipAddr() string { return n.sockets.addr().String() }

// startAll runs n nodes that have met.
func startAll(t *testing.T, n int, setups ...setup) []node {
	t.Helper()
	nodes := []node{start(t, "node-0", setups...)}
	for i := 1; i < n; i++ {
		nodes = append(nodes, start(t, fmt.Sprintf("node-%d", i), append(setups, joining(nodes[0]))...))
	}
	agree(t, nodes...)
	return nodes
}

// agree waits until the nodes, and nobody else, are members to each of them.
func agree(t *testing.T, nodes ...node) {
	t.Helper()
	testcluster.Soon(t, func() error {
		for _, n := range nodes {
			members := n.Members()
			if len(members) != len(nodes) {
				return fmt.Errorf("%s has %d members, not %d: %v", n.self.Name, len(members), len(nodes), members)
			}
			for _, other := range nodes {
				if !contains(members, other.self) {
					return fmt.Errorf("%s lacks %s", n.self.Name, other.self.Name)
				}
			}
		}
		return nil
	})
}

func contains(members []Member, m Member) bool {
	for _, other := range members {
		if other == m {
			return true
		}
	}
	return false
}

func TestNodesMeet(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			nodes := startAll(t, n)
			testcluster.Soon(t, func() error {
				for _, n := range nodes {
					if !n.Joined() {
						return fmt.Errorf("%s has not joined", n.self.Name)
					}
				}
				return nil
			})
			for key := range uint64(1000) {
				owner, self := nodes[0].Owner(key << 50)
				if self != (owner == nodes[0].Self()) {
					t.Fatalf("node-0 says %v of its owning a key of %s", self, owner.Name)
				}
				for _, n := range nodes {
					if m, self := n.Owner(key << 50); m != owner || self != (m == n.Self()) {
						t.Fatalf("%s says that %s owns a key of %s", n.self.Name, m.Name, owner.Name)
					}
				}
			}
		})
	}
}
