package chaos

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

const (
	startLimit = 60 * time.Second
	lookLimit  = 5 * time.Second
)

// config of a cluster.
type config struct {
	nodes, spare int // how many run at first, and how many more may
	apart        bool
	seed         uint64
	flags        []string
}

// cluster is an S3, the front before it, and nodes.
type cluster struct {
	t       testing.TB
	nodes   []*node
	front   *front
	network *network // nil unless each node has a place of its own
	s3      *testcluster.Process
}

// node is one node of a cluster.
type node struct {
	*testcluster.Process
	t                                         testing.TB
	index                                     int
	place                                     place
	httpAddr, adminAddr, gossipAddr, peerAddr string
	http                                      *http.Transport // reaches the node at its place
	traces                                    string          // the file with what its starts have traced
	ends                                      []time.Time     // of its starts but the last

	mu      sync.Mutex // guards all below
	idle    *sync.Cond // signalled when within becomes 0
	up      bool       // clients may use it
	within  int        // operations under way
	trouble []window   // when it was not well
}

// window is a time during which something was wrong, in nanoseconds since the
// history began.
type window struct{ from, to int64 }

func newCluster(t testing.TB, cfg config) *cluster {
	t.Helper()
	c := &cluster{t: t}
	dir, binary := t.TempDir(), testcluster.Build(t)
	env := environment()
	s3Addr := c.startS3(dir, binary, env)
	c.front = newFront(t, s3Addr, cfg.seed)

	total := cfg.nodes + cfg.spare
	var places []place
	if cfg.apart {
		var err error
		if places, c.network, err = newNetwork(t, total); err != nil {
			t.Fatal(err)
		}
	}
	for len(places) < total {
		places = append(places, loopback())
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, p := range places {
		args := []string{binary, "--cluster-secret-file", secret, "--memory", "128MiB", "--s3-bucket", "larder", "--s3-path-style"}
		args = append(append(args, "--s3-endpoint", "http://"+c.front.open(t, p)), cfg.flags...)
		c.nodes = append(c.nodes, c.newNode(cfg, i, p, dir, env, args))
	}
	for _, n := range c.nodes[:cfg.nodes] {
		n.launch()
	}
	for _, n := range c.nodes[:cfg.nodes] {
		n.welcome()
	}
	c.waitMembers()
	return c
}

func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LARDER_") && !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	return append(env, "AWS_ACCESS_KEY_ID="+testcluster.AccessKey, "AWS_SECRET_ACCESS_KEY="+testcluster.SecretKey, "AWS_EC2_METADATA_DISABLED=true")
}

func (c *cluster) startS3(dir, binary string, env []string) string {
	addr := at(loopback().ip, s3Port)
	c.s3 = testcluster.NewProcess(c.t, "s3", dir, env, func() []string {
		return []string{binary, "s3", "--addr", addr, "--data-dir", "s3-data"}
	})
	c.s3.Launch()
	testcluster.Eventually(c.t, startLimit, "the S3 listens", func() error {
		conn, err := net.DialTimeout("tcp", addr, lookLimit)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return addr
}

func (c *cluster) newNode(cfg config, i int, p place, dir string, env, args []string) *node {
	n := &node{
		t: c.t, index: i, place: p,
		httpAddr: at(p.local, httpPort), adminAddr: at(p.local, adminPort),
		gossipAddr: at(p.ip, gossipPort), peerAddr: at(p.ip, peerPort),
		http: &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
	n.idle = sync.NewCond(&n.mu)
	name := fmt.Sprintf("node-%d", i+1)
	n.traces = filepath.Join(dir, name+".trace")
	n.Process = testcluster.NewProcess(c.t, name, dir, append(slices.Clone(env), "LARDER_TRACE_FILE="+n.traces, "LARDER_EXPIRE_EVERY=1s"), func() []string {
		var join []string
		for _, other := range c.nodes[:cfg.nodes] { // the others are found through these
			if other != n {
				join = append(join, other.gossipAddr)
			}
		}
		return append(args, "--name", name, "--http-addr", n.httpAddr, "--admin-addr", n.adminAddr,
			"--gossip-addr", n.gossipAddr, "--peer-addr", n.peerAddr, "--join", strings.Join(join, ","))
	})
	c.t.Cleanup(n.http.CloseIdleConnections)
	return n
}

func (n *node) url() string { return "http://" + n.httpAddr }

// launch starts the node and waits for nothing.
func (n *node) launch() {
	_ = n.place.do(func() error { n.Launch(); return nil }) // Launch ends the test on trouble
}

// Kill kills the node, and notes when it had ended.
func (n *node) Kill() {
	n.t.Helper()
	n.Process.Kill()
	n.ends = append(n.ends, time.Now())
}

// Stop has the node end, and notes when it had.
func (n *node) Stop() {
	n.t.Helper()
	n.Process.Stop()
	n.ends = append(n.ends, time.Now())
}

// welcome waits until the node is ready, and lets clients in.
func (n *node) welcome() {
	n.t.Helper()
	testcluster.Eventually(n.t, startLimit, n.Name+" is ready", func() error {
		if !n.Running() {
			n.t.Fatalf("%s has ended", n.Name)
		}
		_, err := n.look("/readyz")
		return err
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = true
}

// enter reports whether a client may use the node now; it calls exit afterwards.
func (n *node) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.up {
		n.within++
	}
	return n.up
}

func (n *node) exit() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.within--; n.within == 0 {
		n.idle.Broadcast()
	}
}

// close lets no clients in any more. If it is gentle it waits until those
// inside have left, as a load balancer does.
func (n *node) close(gentle bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = false
	for gentle && n.within > 0 {
		n.idle.Wait()
	}
}

// look gets a page of the admin port.
func (n *node) look(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.adminAddr+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := n.http.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s answers %d: %s", n.Name, path, resp.StatusCode, page)
	}
	return page, err
}

// running returns the nodes that clients may use.
func (c *cluster) running() []*node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return !n.Running() })
}

// waitMembers waits until all running nodes see each other and nobody else.
func (c *cluster) waitMembers() {
	c.t.Helper()
	running := c.running()
	testcluster.Eventually(c.t, startLimit, fmt.Sprintf("all nodes see %d members", len(running)), func() error {
		for _, n := range running {
			b, err := n.look("/cluster")
			if err != nil {
				return err
			}
			var page struct{ Members []struct{ Name string } }
			if err := json.Unmarshal(b, &page); err != nil {
				return fmt.Errorf("read /cluster of %s: %w", n.Name, err)
			}
			if len(page.Members) != len(running) {
				return fmt.Errorf("%s sees %v", n.Name, page.Members)
			}
		}
		return nil
	})
}
