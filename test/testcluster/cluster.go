package testcluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The credentials of the S3 between the nodes.
const (
	AccessKey = "larder"
	SecretKey = "larder-on-loopback"
	bucket    = "larder"
)

// membersLimit bounds the wait until all members see each other, or see one dead.
const membersLimit = 60 * time.Second

// Options of New.
type Options struct {
	// Nodes is how many there are; 0 is 3.
	Nodes int
	// Flags are given to every node, after those that New gives.
	Flags []string
	// Env is added to every node's environment, as NAME=VALUE.
	Env []string
	// Embedded gives each node a store of its own in place of the S3 between
	// them; there can be one node then.
	Embedded bool
	// S3Addr is the host:port of an S3 to use in place of one of New's own.
	S3Addr string
	// S3Dir is where New's own S3 keeps its data; a folder of the test's if empty.
	S3Dir string
	// S3Via returns the address that the nodes use to reach the S3 at addr.
	S3Via func(addr string) string
	// Wrap is a command that runs the process which holds the data, the S3 or
	// an embedded node, and is given its arguments.
	Wrap []string
	// Secret gives the nodes a secret that they share, each in a file of its own.
	Secret bool
	// NotReady leaves out the wait for readiness: the store cannot be reached.
	NotReady bool
}

// Cluster is an S3 and its nodes.
type Cluster struct {
	// Nodes are in the order in which they came: node-1, node-2...
	Nodes []*Node
	// S3 is the process of the S3; nil if there is none.
	S3 *Process
	// Dir holds logs and data.
	Dir string

	t       testing.TB
	opts    Options
	binary  string
	bucket  string
	s3Bound string // where the S3 listens
	s3Addr  string // as the nodes reach it
	secret  string // empty if the nodes have none
}

// New starts a cluster and waits until all its nodes are ready and see each
// other. It ends with the test.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{t: t, opts: o, binary: Build(t), Dir: t.TempDir()}
	if o.Secret {
		c.secret = rand.Text()
	}
	if !o.Embedded {
		c.bucket = bucket
		if c.s3Addr = o.S3Addr; c.s3Addr == "" {
			c.startS3()
		}
		if o.S3Via != nil {
			c.s3Addr = o.S3Via(c.s3Addr)
		}
	}
	for range o.Nodes {
		c.add()
	}
	if o.NotReady {
		return c
	}
	for _, n := range c.Nodes {
		n.WaitReady()
	}
	c.WaitMembers(o.Nodes)
	return c
}

// S3Addr is where the S3 itself listens, whatever stands before it.
func (c *Cluster) S3Addr() string { return c.s3Bound }

// AddNode starts one node more, with flags of its own after those of all, and
// waits until it is ready.
func (c *Cluster) AddNode(flags ...string) *Node {
	c.t.Helper()
	n := c.add(flags...)
	n.WaitReady()
	return n
}

// Stranger starts a node that tries to join the cluster but has further flags,
// which should keep it out. It is not one of Nodes.
func (c *Cluster) Stranger(name string, flags ...string) *Node {
	c.t.Helper()
	return c.start(name, flags)
}

func (c *Cluster) add(flags ...string) *Node {
	c.t.Helper()
	n := c.start(fmt.Sprintf("node-%d", len(c.Nodes)+1), flags)
	c.Nodes = append(c.Nodes, n)
	return n
}

func (c *Cluster) start(name string, flags []string) *Node {
	c.t.Helper()
	n := &Node{cluster: c, flags: flags, secretFile: filepath.Join(c.Dir, "secret-"+name)}
	n.Process = NewProcess(c.t, name, c.Dir, c.env(), func() []string {
		if c.opts.Embedded {
			return append(append([]string{}, c.opts.Wrap...), n.args()...)
		}
		return n.args()
	})
	if c.secret != "" {
		n.WriteSecrets(c.secret)
	}
	n.startFirst()
	return n
}

// Secret is what the nodes share at first; empty without Options.Secret.
func (c *Cluster) Secret() string { return c.secret }

// WaitMembers waits until every node that runs, and is not paused, sees n members.
func (c *Cluster) WaitMembers(n int) {
	c.t.Helper()
	Eventually(c.t, membersLimit, fmt.Sprintf("all nodes see %d members", n), func() error {
		for _, node := range c.Nodes {
			if !node.Running() || node.paused {
				continue
			}
			members, err := node.Members()
			if err != nil {
				return err
			}
			if len(members) != n {
				return fmt.Errorf("%s sees %v", node.Name, members)
			}
		}
		return nil
	})
}

// startS3 starts the S3, at another address if some process took the first.
func (c *Cluster) startS3() {
	c.t.Helper()
	c.S3 = NewProcess(c.t, "s3", c.Dir, c.env(), func() []string {
		return append(append([]string{}, c.opts.Wrap...), c.binary, "s3", "--addr", c.s3Bound, "--data-dir", cmp.Or(c.opts.S3Dir, "s3-data"))
	})
	for range startTries {
		c.s3Bound = FreeAddr(c.t)
		c.s3Addr = c.s3Bound
		c.S3.Launch()
		ended := false
		Eventually(c.t, startLimit, "the S3 listens", func() error {
			if ended = !c.S3.Running(); ended {
				return nil
			}
			return dial(c.s3Bound)
		})
		if !ended {
			return
		}
	}
	c.t.Fatalf("the S3 did not start: %s", lastLine(c.S3.Log()))
}

// StartS3 starts the S3 again where it was, and waits until it listens.
func (c *Cluster) StartS3() {
	c.t.Helper()
	c.S3.Launch()
	Eventually(c.t, startLimit, "the S3 listens", func() error { return dial(c.s3Bound) })
}

func dial(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, lookLimit)
	if err != nil {
		return err
	}
	return conn.Close()
}

// env is the environment of every process: that of the test without what
// would change a node's configuration.
func (c *Cluster) env() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LARDER_") && !strings.HasPrefix(v, "AWS_") {
			env = append(env, v)
		}
	}
	env = append(env, "AWS_ACCESS_KEY_ID="+AccessKey, "AWS_SECRET_ACCESS_KEY="+SecretKey, "AWS_EC2_METADATA_DISABLED=true")
	return append(env, c.opts.Env...)
}

func get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
