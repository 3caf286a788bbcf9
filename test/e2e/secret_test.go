package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// The secret of a cluster under load is replaced in three steps, one node after the other. In the midst of each step a
// node is restarted, so that nodes before and after the step have to meet anew. No request fails, no node is ever taken
// for dead, and in the end the old secret opens nothing.
func TestSecretRotation(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Secret: true, Flags: []string{"--peer-encryption"}})
	const prefix = "s/"
	all := putObjects(t, c.Nodes[0], prefix, 12, 50_000)
	before, after := c.Secret(), rand.Text()
	one, two, restarted := c.Nodes[0], c.Nodes[1], c.Nodes[2]
	l := startLoad(t, all.reader(one, prefix), all.reader(two, prefix), writer(one, two, "sw/a"), writer(two, one, "sw/b"))
	l.settle()

	for step, file := range [][]string{{before, after}, {after, before}, {after}} {
		changeSecrets(t, one, file...)
		l.settle()
		restarted.Stop()
		c.WaitMembers(2)
		if step%2 == 1 { // it comes back on either side of the step
			restarted.WriteSecrets(file...)
		}
		restarted.Start()
		c.WaitMembers(3)
		l.settle()
		changeSecrets(t, two, file...)
		if step%2 == 0 {
			changeSecrets(t, restarted, file...)
		}
		l.settle()
		c.WaitMembers(3)
	}

	two.WriteSecrets("cut short")
	testcluster.Eventually(t, time.Minute, "a bad file is warned of", func() error {
		if !strings.Contains(two.Log(), "cluster secret file is wrong, the secrets before it stay good") {
			return errors.New("it is not")
		}
		return nil
	})
	l.settle()
	l.stop("the cluster's secret was replaced")
	c.WaitMembers(3)
	for _, n := range c.Nodes {
		for _, sign := range []string{"under another secret", "another cluster secret", "member died or was cut off"} {
			if strings.Contains(n.Log(), sign) {
				t.Errorf("%s logs %q", n.Name, sign)
			}
		}
	}

	stranger := c.Stranger("old-secret", "--cluster-secret-file", secretFile(t, before))
	wantRefused(t, c, stranger, "refused gossip under another secret")
	for _, n := range c.Nodes {
		for _, text := range []string{before, after, "cut short"} {
			if strings.Contains(n.Log(), text) {
				t.Errorf("%s logs %q", n.Name, text)
			}
		}
		do(t, http.MethodGet, object(n, prefix+"0"), nil).wantBody(t, all[prefix+"0"])
	}
}

// changeSecrets writes a node's file and waits until the node has read it.
func changeSecrets(t *testing.T, n *testcluster.Node, secrets ...string) {
	t.Helper()
	reads := func() int { return strings.Count(n.Log(), "cluster secret file read again") }
	was := reads()
	n.WriteSecrets(secrets...)
	testcluster.Eventually(t, time.Minute, n.Name+" reads its secrets again", func() error {
		if now := reads(); now != was+1 {
			return fmt.Errorf("it has done so %d times, %d times before", now, was)
		}
		return nil
	})
}

// secretFile is a file with one secret.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantRefused holds that a stranger tries to join the cluster, is refused with these words by one of its first two
// nodes, and is a member to nobody.
func wantRefused(t *testing.T, c *testcluster.Cluster, stranger *testcluster.Node, refusal string) {
	t.Helper()
	testcluster.Eventually(t, time.Minute, "the stranger has tried to join", func() error {
		missing := stranger.Missing()
		if missing == "" {
			t.Fatal("the stranger says that it has joined")
		}
		if !strings.Contains(missing, "no member of --join") {
			return errors.New(missing)
		}
		if !strings.Contains(c.Nodes[0].Log()+c.Nodes[1].Log(), refusal) {
			return errors.New("nobody has refused it yet")
		}
		return nil
	})
	for _, node := range append(slices.Clone(c.Nodes), stranger) {
		members, err := node.Members()
		if err != nil {
			t.Fatal(err)
		}
		if node != stranger && slices.Contains(members, stranger.Name) || node == stranger && len(members) != 1 {
			t.Errorf("%s sees %v", node.Name, members)
		}
	}
}
