package heads

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

const (
	lease      = time.Minute
	revalidate = time.Hour
)

func key() keys.Key { return keys.Key{Org: "o", Service: keys.Objects, Name: "k"} }

func is(version string) Known { return Known{Head: store.Head{Version: version}} }

// network is the nodes that can reach each other.
type network struct {
	mu    sync.Mutex
	nodes map[string]*node
}

// node is a table, and the cluster as it sees it: the first member owns every key.
type node struct {
	*Table
	id  string
	net *network

	mu     sync.Mutex // guards the fields below
	view   []string
	saw    uint64 // how often that has changed
	woke   time.Time
	gone   []cluster.Departure
	heard  []string // the texts with which others asked it to settle
	onLook func()   // called when the owner is looked up
	breaks bool     // the test breaks what must hold
	mute   bool     // it never vouches, as older releases do not
}

var _ Cluster = (*node)(nil)

// in runs f in a bubble of its own time.
func in(t *testing.T, f func(t *testing.T, net *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, &network{nodes: map[string]*node{}}) })
}

// add adds a node, and settles it with those that it sees; they have to see it.
func (net *network) add(t *testing.T, id string, sees ...string) *node {
	t.Helper()
	n := &node{id: id, net: net}
	n.Table = New(Config{Lease: lease, Revalidate: revalidate, Log: zerolog.Nop()}, n)
	net.mu.Lock()
	net.nodes[id] = n
	net.mu.Unlock()
	n.sees(sees...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if broken := n.Stats().Broken; broken > 0 && !n.breaks {
			t.Errorf("%d invariants are broken at %s", broken, id)
		}
	})
	return n
}

// pair is two nodes that have settled. A owns every key.
func pair(t *testing.T, net *network) (a, b *node) {
	t.Helper()
	a, b = net.add(t, "a", "a", "b"), net.add(t, "b", "a", "b")
	time.Sleep(time.Second)
	if !a.Settled() || !b.Settled() {
		t.Fatal("not settled")
	}
	return a, b
}

// sees has a node take in who its members are.
func (n *node) sees(ids ...string) {
	n.mu.Lock()
	n.view = ids
	n.saw++
	n.mu.Unlock()
	n.RingChanged()
}

func memberOf(id string) cluster.Member { return cluster.Member{Name: id, ID: id} }

func (n *node) Woke() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.woke
}

func (n *node) Changes() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.saw
}

func (n *node) Self() cluster.Member { return memberOf(n.id) }

func (n *node) Members() (all []cluster.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range n.view {
		all = append(all, memberOf(id))
	}
	return all
}

func (n *node) Member(id string) (cluster.Member, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return memberOf(id), slices.Contains(n.view, id)
}

func (n *node) Owner(uint64) (cluster.Member, bool) {
	n.mu.Lock()
	look, owner := n.onLook, n.id
	if len(n.view) > 0 {
		owner = n.view[0]
	}
	n.mu.Unlock()
	if look != nil {
		look()
	}
	return memberOf(owner), owner == n.id
}

func (n *node) Departed(time.Duration) []cluster.Departure {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

func (n *node) Fanout(ctx context.Context, members []cluster.Member, route, text string) (acks []cluster.Ack) {
	for _, m := range members {
		said, err := n.tell(ctx, m.ID, route, text)
		acks = append(acks, cluster.Ack{Member: m, Text: said, Err: err})
	}
	return acks
}

func (n *node) tell(ctx context.Context, id, route, text string) (said string, err error) {
	if n.isMute() && text != settleBack {
		text = ""
	}
	n.net.mu.Lock()
	other := n.net.nodes[id]
	n.net.mu.Unlock()
	if other == nil {
		return "", errors.New("out of reach")
	}
	a := other.ask(ctx, n.id, route, text)
	if a.Status/100 != 2 {
		return "", &cluster.Refused{Status: a.Status, Detail: string(a.Text)}
	}
	return string(a.Text), nil
}

// ask is a question of a member.
func (n *node) ask(ctx context.Context, from, route, text string) cluster.Answer {
	routes := map[string]cluster.Handler{}
	n.Answer(func(route string, h cluster.Handler) { routes[route] = h })
	if route == settleRoute {
		n.mu.Lock()
		n.heard = append(n.heard, text)
		n.mu.Unlock()
	}
	answer := routes[route](ctx, cluster.Asked{From: from, Text: text})
	if n.isMute() {
		answer.Text = nil
	}
	return answer
}

func (n *node) isMute() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mute
}

// owns has a node hold a live head as the owner.
func (n *node) owns(t *testing.T, version string) {
	t.Helper()
	if !n.KeepOwned(key(), n.Now(key()), is(version)) {
		t.Fatal("not kept")
	}
}

// holds has a node hold a live head that the owner granted.
func (n *node) holds(t *testing.T, version string) {
	t.Helper()
	if !n.KeepLease(key(), n.Now(key()), is(version), lease) {
		t.Fatal("not kept")
	}
}

// want wants a live head of this version; empty if none.
func (n *node) want(t *testing.T, version string) {
	t.Helper()
	got, live, _ := n.Get(key())
	if live != (version != "") || live && got.Head.Version != version {
		t.Errorf("%s trusts %q, %v; want %q", n.id, got.Head.Version, live, version)
	}
}

func (n *node) begin(t *testing.T) *Turn {
	t.Helper()
	w, err := n.Begin(t.Context(), key(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// upload begins a write, up to its upload.
func (n *node) upload(t *testing.T) *Turn {
	t.Helper()
	w := n.begin(t)
	if err := w.Upload(time.Now()); err != nil {
		t.Fatal(err)
	}
	return w
}

func done(version string) Outcome { return Outcome{Done: true, Known: is(version)} }
