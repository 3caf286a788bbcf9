package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// TestBlindNode starts a node that cannot see the store, as with wrong credentials: the
// others answer everything meanwhile, itself it answers for no key, and it takes part once it
// sees the store.
func TestBlindNode(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{})
	proxy := testcluster.NewProxy(t, c.S3Addr())
	proxy.Set(testcluster.Fault{CutAfter: 1}) // its port stays taken
	before := len(c.Nodes)
	blind := c.Stranger("blind", "--s3-endpoint", "http://"+proxy.Addr)
	testcluster.Eventually(t, time.Minute, "the node misses the store", func() error {
		if missing := blind.Missing(); !strings.Contains(missing, "the store has not been seen") {
			return errors.New(missing)
		}
		return nil
	})
	for key, body := range putObjects(t, c.Nodes[0], "blind/", 100, 1000) {
		for _, n := range c.Nodes {
			do(t, "GET", object(n, key), nil).wantBody(t, body)
		}
	}
	do(t, "PUT", object(blind, "blind/apart"), []byte("x")).wantProblem(t, 503, "not-joined")
	do(t, "GET", object(blind, "blind/apart"), nil).wantProblem(t, 503, "not-joined")
	do(t, "GET", blind.URL()+"/v1/whoami", nil).want(t, 200) // which is about no key
	c.WaitMembers(before)
	proxy.Set(testcluster.Fault{})
	blind.WaitReady()
	c.WaitMembers(before + 1)
}
