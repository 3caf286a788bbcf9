package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"larder/keys"
	"larder/test/testcluster"
)

// An owner that was stopped with forwarded writes on their way to it does not do
// them when it goes on: others have been acknowledged since, and a read must not
// go back to older values than those.
func TestAStoppedOwnerDoesNotWriteWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{})
	var members []uint64
	for _, n := range c.Nodes {
		members = append(members, keys.HashMember(n.Name))
	}
	var names []string
	for i := 0; len(names) < 4; i++ {
		k := keys.Key{Org: "default", Service: keys.Objects, Name: fmt.Sprint("k", i)}
		if keys.Heaviest(members, k.Hash()) == 2 {
			names = append(names, k.Name)
		}
	}
	stopped := c.Nodes[2]
	for _, name := range names { // so that there are connections
		do(t, http.MethodPut, object(c.Nodes[0], name), []byte("first")).want(t, http.StatusCreated)
	}
	stopped.Pause()
	outcomes := make(chan answer)
	for i, name := range names {
		go func() {
			a, err := send(t.Context(), http.MethodPut, object(c.Nodes[i%2], name), []byte("old"))
			if err != nil {
				t.Error(err)
			}
			outcomes <- a
		}()
	}
	for range names { // once the owner is seen dead
		if a := <-outcomes; a.status != http.StatusServiceUnavailable && a.status/100 != 2 {
			t.Errorf("status %d", a.status)
		}
	}
	for i, name := range names {
		do(t, http.MethodPut, object(c.Nodes[i%2], name), []byte("new")).want(t, http.StatusOK)
	}
	stopped.Resume()
	c.WaitMembers(3)
	for range 50 {
		for _, name := range names {
			for _, n := range c.Nodes {
				do(t, http.MethodGet, object(n, name), nil, "Cache-Control", "no-cache").wantBody(t, []byte("new"))
			}
		}
	}
}
