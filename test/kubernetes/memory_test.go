//go:build kubernetes

package kubernetes

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// smallMemory writes and reads large objects through a node of little memory, which must not be killed for it.
func (r *release) smallMemory() {
	r.t.Helper()
	r.helmWith("install", "small", "--wait", "--timeout", "5m", "--set",
		"replicaCount=1,s3.prefix=small,resources.limits.memory=256Mi,resources.requests.memory=256Mi")
	put, got := r.burst("small")
	restarts := r.restarts("larder", "small-larder-0")
	r.t.Logf("one node of 256Mi, objects of 20 MB, 16 at once: %s, %s; restarts: %s", put, got, restarts)
	if !strings.HasPrefix(restarts, "0") {
		r.t.Error("the node was killed")
	}
	r.helm("uninstall", "small", "--wait")
}

// burst puts 24 and gets 96 objects of 20 MB through a release, 16 at once.
func (r *release) burst(name string) (put, got string) {
	r.t.Helper()
	addr := r.kubectl("get", "service", name+"-larder", "-o", "jsonpath={.spec.clusterIP}") + ":8080"
	token := r.secretToken(name + "-larder-token")
	body := make([]byte, 20_000_000)
	return r.at(addr, token, "PUT", 24, body), r.at(addr, token, "GET", 96, nil)
}

// at does this many requests, 16 at once, and says how many failed.
func (r *release) at(addr, token, method string, n int64, body []byte) string {
	var next, failed atomic.Int64
	var first atomic.Value
	var end sync.WaitGroup
	for range 16 {
		end.Go(func() {
			c := &plain{addr: addr, token: token, fresh: true}
			for i := next.Add(1); i <= n; i = next.Add(1) {
				if _, err := c.do(method, fmt.Sprintf("/v1/objects/large-%d", i%24), body); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, err.Error())
				}
			}
		})
	}
	end.Wait()
	if said := first.Load(); said != nil {
		return fmt.Sprintf("%d of %d %ss failed (%s)", failed.Load(), n, method, said)
	}
	return fmt.Sprintf("%d of %d %ss failed", failed.Load(), n, method)
}
