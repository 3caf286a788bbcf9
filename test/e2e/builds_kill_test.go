package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
)

// held is a crowd of callers of whom the first builds until it is let go.
type held struct {
	t      *testing.T
	built  atomic.Int64
	goOn   chan struct{}
	giveUp context.CancelFunc
	all    sync.WaitGroup

	mu     sync.Mutex // guards values
	values map[string]string
}

// hold has callers want a key, the first of them at the node with this number, and
// returns when it builds and all others wait. So many wait for other keys already. The
// callers end with the test.
func hold(t *testing.T, c *testcluster.Cluster, first int, key string, callers, alreadyWaiting int) *held {
	t.Helper()
	ctx, giveUp := context.WithCancel(t.Context())
	h := &held{t: t, goOn: make(chan struct{}), giveUp: giveUp, values: map[string]string{}}
	t.Cleanup(h.all.Wait)
	for i := range callers {
		who := caller{key: key, id: fmt.Sprint("caller-", i), built: &h.built, build: h.build}
		for j := range c.Nodes {
			who.nodes = append(who.nodes, c.Nodes[(first+i+j)%len(c.Nodes)])
		}
		h.all.Go(func() {
			value, own, err := who.run(ctx)
			switch {
			case t.Context().Err() != nil || own: // another's value may have come first
				return
			case err != nil:
				t.Errorf("%s: %v", who.id, err)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.values[string(value)] = who.id
		})
		testcluster.Eventually(t, buildLimit, "one builds and the others wait", func() error { return h.want(c, alreadyWaiting+i) })
	}
	return h
}

func (h *held) build(ctx context.Context) {
	select {
	case <-h.goOn:
	case <-ctx.Done():
	}
}

// want is an error unless one builds and so many wait.
func (h *held) want(c *testcluster.Cluster, waiters int) error {
	n := 0.0
	for _, node := range c.Nodes {
		if !node.Running() {
			continue
		}
		v, err := node.Metric("larder_build_waiters", nil)
		if err != nil {
			return err
		}
		n += v
	}
	if h.built.Load() == 0 || int(n) != waiters {
		return fmt.Errorf("%d build, %v wait", h.built.Load(), n)
	}
	return nil
}

// release lets the builder go on, and returns how many builds there were once all have
// the same value.
func (h *held) release() int64 {
	h.t.Helper()
	defer time.AfterFunc(buildLimit, h.giveUp).Stop()
	close(h.goOn)
	h.all.Wait()
	if len(h.values) != 1 {
		h.t.Errorf("different values: %v", h.values)
	}
	return h.built.Load()
}

// TestBuildsOutliveNodes takes away the node that a builder is attached to, and the one
// that owns the key, in each way. A builder that is well keeps its claim.
func TestBuildsOutliveNodes(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Flags: []string{"--lease=1s"}}) // a put waits for that after a death
	for _, tt := range []struct {
		name   string
		owner  int // of the key; the builder is attached to node 1
		victim int
		most   int64 // builds: one more where both who knew of the claim are gone at once
		stop   func(n *testcluster.Node)
	}{
		{"builder's node killed", 2, 1, 1, func(n *testcluster.Node) { n.Kill() }},
		{"owner killed", 2, 2, 1, func(n *testcluster.Node) { n.Kill() }},
		{"owner and builder's node killed", 1, 1, 2, func(n *testcluster.Node) { n.Kill() }},
		{"builder's node rolled", 2, 1, 1, func(n *testcluster.Node) { n.Stop() }},
		{"owner rolled", 2, 2, 1, func(n *testcluster.Node) { n.Stop() }},
		{"owner and builder's node rolled", 1, 1, 1, func(n *testcluster.Node) { n.Stop() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const callers = 12
			h := hold(t, c, 1, owned(c, tt.owner, tt.name), callers, 0)
			victim := c.Nodes[tt.victim]

			tt.stop(victim)
			c.WaitMembers(2)
			testcluster.Eventually(t, buildLimit, "all wait again", func() error { return h.want(c, callers-int(h.built.Load())) })
			if n := h.release(); n > tt.most {
				t.Errorf("%d builds", n)
			}
			victim.Start()
			c.WaitMembers(3)
		})
	}
}

// TestBuildsWhileScaled grows a cluster from three nodes to five, and back. It runs alone:
// a node that gets no processor for some seconds while owners change may cost a build
// (docs/decisions/0103-starved-nodes.md), and five that start are much for a small machine.
func TestBuildsWhileScaled(t *testing.T) {
	const callers, keysHeld = 6, 4
	c := testcluster.New(t, testcluster.Options{})
	var all []*held
	for i := range keysHeld {
		all = append(all, hold(t, c, i, fmt.Sprint("scaled/", i), callers, i*(callers-1)))
	}
	waiting := func() error {
		for _, h := range all {
			if err := h.want(c, keysHeld*(callers-1)); err != nil {
				return err
			}
		}
		return nil
	}
	for n := 4; n <= 5; n++ {
		c.AddNode()
		c.WaitMembers(n)
	}
	testcluster.Eventually(t, buildLimit, "all wait at five nodes", waiting)
	for n := 4; n >= 3; n-- {
		c.Nodes[4-n].Stop()
		c.WaitMembers(n)
	}
	testcluster.Eventually(t, buildLimit, "all wait at three other nodes", waiting)
	for i, h := range all {
		if n := h.release(); n != 1 {
			t.Errorf("%d builds of key %d", n, i)
		}
	}
}

// A key's owner leaves, and with it the node that its builder is attached to. The builder
// takes a moment to attach elsewhere, and keeps its claim.
func TestTheOwnerLeavesWithTheBuildersNode(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Nodes: 4})
	key := owned(c, 1, "both-leave")
	builder, err := attach(t.Context(), c.Nodes[0].URL(), key, "", map[string]any{"waiter": "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer builder.end()
	claim := builder.wantEvent(t, "granted").Claim
	waiter := waits(t, c.Nodes[2], key, map[string]any{"waiter": "w"})
	var left sync.WaitGroup
	for _, n := range c.Nodes[:2] {
		left.Go(func() { n.Stop() })
	}
	builder.wantEvent(t, "moved")
	time.Sleep(500 * time.Millisecond) // on its way; the nodes wait for it for 3.5 s
	again, err := attach(t.Context(), c.Nodes[3].URL(), key, claim, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.end()
	left.Wait()
	c.WaitMembers(2)
	do(t, http.MethodPut, object(c.Nodes[3], key), []byte("value"), "Larder-Claim", claim).want(t, http.StatusCreated)
	waiter.wantEvent(t, "built")
}

// A builder's process that is killed is missed at once: the kernel closes its stream.
func testBuilderKilled(t *testing.T, c *testcluster.Cluster) {
	key := owned(c, 0, "killed")
	builder := exec.Command("curl", "--silent", "--no-buffer", "--request", http.MethodPost, "--header", "Accept: application/x-ndjson", c.Nodes[1].URL()+buildPath(key))
	if err := builder.Start(); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, buildLimit, "it builds", func() error {
		if a := do(t, http.MethodGet, c.Nodes[0].URL()+"/v1/builds/objects?prefix=killed/", nil); len(a.line(t).Builds) != 1 {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
	w := waits(t, c.Nodes[2], key, map[string]any{})
	began := time.Now()
	if err := builder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = builder.Wait() // it was killed
	w.wantEvent(t, "granted")
	t.Logf("the next one builds %s later", time.Since(began))
}
