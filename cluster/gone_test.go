package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"larder/test/testcluster"
)

// captured is the gossip that nodes send, as somebody on the network sees it.
type captured struct {
	mu      sync.Mutex
	packets map[string][][]byte // by the address that they go to
}

func (c *captured) setup() setup {
	return before(func(n *Cluster) {
		n.forget = 100 * time.Millisecond
		n.wrapTransport = func(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			return capturing{NodeAwareTransport: t, by: c}
		}
	})
}

type capturing struct {
	memberlist.NodeAwareTransport
	by *captured
}

func (t capturing) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	t.by.mu.Lock()
	t.by.packets[a.Addr] = append(t.by.packets[a.Addr], append([]byte(nil), b...))
	t.by.mu.Unlock()
	return t.NodeAwareTransport.WriteToAddress(b, a)
}

// replay sends the first so many packets to a node once more.
func (c *captured) replay(t *testing.T, to node, packets [][]byte) {
	t.Helper()
	conn, err := net.Dial("udp", to.gossipAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, p := range packets {
		_, _ = conn.Write(p)
	}
}

// Gossip of a member that died, sent again by who has seen it, brings nobody
// back: the ring does not change.
func TestReplayedGossipBringsNobodyBack(t *testing.T) {
	gossip := &captured{packets: map[string][][]byte{}}
	nodes := startAll(t, 2, gossip.setup())
	a := nodes[0]
	for _, goodbye := range []bool{false, true} {
		t.Run(fmt.Sprint("goodbye ", goodbye), func(t *testing.T) {
			gossip.mu.Lock()
			clear(gossip.packets)
			gossip.mu.Unlock()
			b := start(t, "gone", joining(nodes[1]), gossip.setup())
			agree(t, a, nodes[1], b)
			gossip.mu.Lock()
			packets := gossip.packets[a.gossipAddr()]
			gossip.mu.Unlock()
			if goodbye {
				if err := b.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.stop()
			agree(t, a, nodes[1])
			changes, listed := a.Changes(), func() int {
				a.listMu.Lock()
				defer a.listMu.Unlock()
				return a.list.NumMembers()
			}
			for _, back := range []bool{true, false} { // memberlist takes it for alive, and sees it dead again
				testcluster.Soon(t, func() error {
					if a.Changes() != changes {
						t.Fatal("the ring has changed")
					}
					if back {
						gossip.replay(t, a, packets)
					}
					if n := listed(); (n == 3) != back {
						return fmt.Errorf("memberlist has %d members", n)
					}
					return nil
				})
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.doubted) > 0 {
				t.Error("somebody is doubted still")
			}
		})
	}
}

// A member that was seen dead and lives is a member again at once, and one that
// cannot be reached after a while: members must not disagree for long.
func TestDoubtedMembers(t *testing.T) {
	a, b := start(t, "a"), start(t, "b") // which have not met
	died := func(m Member) *memberlist.Node {
		meta, err := encodeMeta(m, false)
		if err != nil {
			t.Fatal(err)
		}
		n := &memberlist.Node{Name: m.ID, Addr: net.IPv4(127, 0, 0, 1), Port: 1, Meta: meta}
		a.alive(n)
		a.dead(m.ID)
		return n
	}
	a.alive(died(b.self))
	testcluster.Soon(t, func() error {
		if !contains(a.Members(), b.self) {
			return errors.New("not a member yet")
		}
		return nil
	})

	ghost := Member{Name: "ghost", PeerAddr: b.self.PeerAddr, Incarnation: 1, ID: "ghost"}
	old := died(ghost)
	a.alive(old)
	early := Member{Name: "ghost", PeerAddr: b.self.PeerAddr, Incarnation: 0, ID: "earlier"} // of which nothing is known
	meta, err := encodeMeta(early, false)
	if err != nil {
		t.Fatal(err)
	}
	a.alive(&memberlist.Node{Name: early.ID, Addr: net.IPv4(127, 0, 0, 1), Port: 2, Meta: meta})
	if a.probeAll(t.Context()) != 2 || contains(a.Members(), ghost) || contains(a.Members(), early) {
		t.Errorf("members are %v", a.Members())
	}
	if _, ok := a.Asker(ghost.ID); ok {
		t.Error("who was seen dead may ask")
	}
	a.mu.Lock()
	d := a.doubted[ghost.ID]
	d.since = time.Now().Add(-believeAfter)
	a.doubted[ghost.ID] = d
	a.mu.Unlock()
	testcluster.Soon(t, func() error {
		if !contains(a.Members(), ghost) {
			return errors.New("not a member yet")
		}
		return nil
	})
}

// The memory of the dead is bounded, and forgets the oldest.
func TestGoneIsBounded(t *testing.T) {
	g := newGone()
	for i := range goneAtMost + 10 {
		g.add(Member{Name: fmt.Sprint("n", i), ID: fmt.Sprint(i), Incarnation: uint64(i + 1)}, i%2 == 0)
	}
	g.add(Member{Name: "n12", ID: "12", Incarnation: 13}, false) // once more
	if len(g.byID) != goneAtMost || len(g.order) != goneAtMost || len(g.last) != goneAtMost {
		t.Errorf("%d, %d and %d are remembered", len(g.byID), len(g.order), len(g.last))
	}
	if _, ok := g.byID["9"]; ok {
		t.Error("the oldest is remembered")
	}
	if _, left := g.left("12"); !left {
		t.Error("a goodbye is forgotten")
	}
}
