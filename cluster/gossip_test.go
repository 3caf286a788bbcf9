package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

// inbox counts gossip messages.
type inbox struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func (i *inbox) take(msg []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen[string(msg)]++
}

func (i *inbox) count() (messages, most int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.seen {
		most = max(most, n)
	}
	return len(i.seen), most
}

func TestGossipReachesEverybodyElseOnce(t *testing.T) {
	const members, messages = 7, 10
	inboxes := make([]*inbox, members)
	var nodes []node
	for i := range members {
		inboxes[i] = &inbox{seen: make(map[string]int)}
		setups := []setup{before(func(c *Cluster) { c.OnGossip(inboxes[i].take) })}
		if i > 0 {
			setups = append(setups, joining(nodes[0]))
		}
		nodes = append(nodes, start(t, fmt.Sprintf("node-%d", i), setups...))
	}
	agree(t, nodes...)
	for i := range messages {
		nodes[0].Gossip([]byte(strings.Repeat(fmt.Sprint("message ", i, " "), 8)))
	}
	nodes[0].Gossip(make([]byte, maxGossip))
	nodes[0].Gossip(make([]byte, maxGossip+1)) // too long: dropped
	testcluster.Soon(t, func() error {
		for i, in := range inboxes[1:] {
			if n, _ := in.count(); n != messages+1 {
				return fmt.Errorf("node-%d has %d messages", i+1, n)
			}
		}
		return nil
	})
	testcluster.Soon(t, func() error { // until nobody repeats them any more
		for _, n := range nodes {
			if q := n.hints.queue.NumQueued(); q > 0 {
				return fmt.Errorf("%s still sends %d", n.self.Name, q)
			}
		}
		return nil
	})
	for i, in := range inboxes {
		if n, most := in.count(); most > 1 || (i == 0 && n > 0) {
			t.Errorf("node-%d received %d messages, one of them %d times", i, n, most)
		}
	}
}

func TestHintsAreBounded(t *testing.T) {
	n := start(t, "a")
	for i := range 3 * gossipQueued {
		n.Gossip(fmt.Append(nil, i))
		n.hints.receive(append(bytes.Repeat([]byte{byte(i), byte(i >> 8)}, gossipIDSize/2), "x"...))
	}
	if q := n.hints.queue.NumQueued(); q > gossipQueued {
		t.Errorf("%d messages wait", q)
	}
	n.hints.receive([]byte("short"))
}

func TestSeenForgets(t *testing.T) {
	var s seen
	if !s.first("a") || s.first("a") {
		t.Error("does not tell first from second")
	}
	s.since = time.Now().Add(-2 * seenFor)
	if s.first("a") {
		t.Error("forgot within a generation")
	}
	for range 2 {
		s.since = time.Now().Add(-2 * seenFor)
		s.first("b")
	}
	if !s.first("a") {
		t.Error("never forgets")
	}
}
