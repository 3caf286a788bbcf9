package chaos

import (
	"net/http"
	"strings"
	"testing"

	"larder/test/history"
)

// The network of a builder's machine goes down, so that not even the end of its connection
// arrives. The next in line builds, and what the machine puts when it is back is late.
func TestUnplugged(t *testing.T) {
	if namespaces(t) != nil {
		return // TestNamespaces says so
	}
	t.Parallel()
	c := newCluster(t, config{spare: 2, apart: true, flags: []string{"--insecure-no-auth"}})
	n, machine := c.nodes[0], c.nodes[1].place // where no node runs
	n.httpAddr = at(n.place.ip, httpPort)
	n.launch()
	n.welcome()
	far := &node{httpAddr: n.httpAddr, http: &http.Transport{DialContext: machine.dial}}
	t.Cleanup(far.http.CloseIdleConnections)

	event, late := attached(t, far, "builder").next()
	if event != "granted" {
		t.Fatalf("the builder hears %q", event)
	}
	waiter := attached(t, n, "waiter")
	c.network.set(0, 1, true, 0)
	c.network.set(1, 0, true, 0)
	event, claim := waiter.next()
	if event != "granted" {
		t.Fatalf("who waits hears %q", event)
	}
	if status := putUnder(t, n, claim, "in time"); status != http.StatusCreated {
		t.Errorf("the put of who is next is answered %d", status)
	}
	c.network.heal()
	if status := putUnder(t, far, late, "late"); status != http.StatusConflict {
		t.Errorf("the late put is answered %d", status)
	}
}

// attached is the stream of somebody who wants a key that is not there.
func attached(t *testing.T, n *node, name string) *stream {
	t.Helper()
	w := &want{caller: &caller{}, key: "unplugged", name: name}
	s, status := w.attach(t.Context(), n, "")
	if s == nil {
		t.Fatalf("%s is answered %d: %s", name, status, w.last)
	}
	t.Cleanup(s.end)
	return s
}

// putUnder puts a value under a claim, and returns the status of the answer.
func putUnder(t *testing.T, n *node, claim, value string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, n.url()+"/v1/objects/unplugged", strings.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(history.ClaimHeader, claim)
	resp, err := n.http.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
