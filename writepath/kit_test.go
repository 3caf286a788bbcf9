package writepath

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/budget"
	"larder/cluster"
	"larder/fill"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/store/storetest"
	"larder/test/testcluster"
)

const testChunk = 64 << 10

// testStore is the S3 server that all tests of the package share.
var testStore *store.S3

func TestMain(m *testing.M) {
	os.Exit(storetest.Main(m, func(s *store.S3) { testStore = s }))
}

// faulty is the store, with a place to interfere with writes.
type faulty struct {
	*store.S3
	mu     sync.Mutex
	before func() error // called before a write; an error takes its place
	after  func() error // called after a write has happened
	many   atomic.Int64 // removals of many at once
	blind  bool         // it does not say what is there
}

func (f *faulty) interfere(before, after func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// DeleteMany is interfered with as Put is.
func (f *faulty) DeleteMany(ctx context.Context, names []string) []error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	f.many.Add(1)
	if before != nil {
		if err := before(); err != nil {
			return slices.Repeat([]error{err}, len(names))
		}
	}
	errs := f.S3.DeleteMany(ctx, names)
	if after != nil {
		if err := after(); err != nil {
			return slices.Repeat([]error{err}, len(names))
		}
	}
	return errs
}

// setBlind has it not say what is there, or say it again.
func (f *faulty) setBlind(blind bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blind = blind
}

func (f *faulty) Head(ctx context.Context, name string) (store.Head, error) {
	f.mu.Lock()
	blind := f.blind
	f.mu.Unlock()
	if blind {
		return store.Head{}, store.ErrUnavailable
	}
	return f.S3.Head(ctx, name)
}

func (f *faulty) Put(ctx context.Context, name string, w store.Write) (store.Head, error) {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return store.Head{}, err
		}
	}
	h, err := f.S3.Put(ctx, name, w)
	if err == nil && after != nil {
		err = after()
	}
	return h, err
}

// node is a whole node but for its HTTP interface, in this process.
type node struct {
	name    string
	cluster *watched
	heads   *heads.Table
	fill    *fill.Filler
	path    *Path
	store   *faulty
	waited  atomic.Int64 // nanoseconds that the last write waited for acknowledgements
}

// watched is the cluster, with a place to interfere with revocations.
type watched struct {
	*cluster.Cluster
	mu   sync.Mutex
	deaf map[string]bool // members by name that a fan-out does not reach
	told []string        // members by name that one has reached
	gone []cluster.Departure
	owns atomic.Bool // it holds this node to be the owner of every key
	lost atomic.Bool // answers of other members do not arrive
	away atomic.Bool // it has not met the cluster
}

// Ask is the cluster's, unless the test has the answer be lost.
func (w *watched) Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error) {
	a, err := w.Cluster.Ask(ctx, m, q)
	if err == nil && w.lost.Load() {
		return cluster.Answer{}, errors.New("the answer was lost")
	}
	return a, err
}

// Owner is the cluster's, unless the test declares this node to be it.
func (w *watched) Owner(hash uint64) (cluster.Member, bool) {
	if w.owns.Load() {
		return w.Self(), true
	}
	return w.Cluster.Owner(hash)
}

// Joined is the cluster's, unless the test has this node look for it still.
func (w *watched) Joined() bool { return !w.away.Load() && w.Cluster.Joined() }

// Departed adds members that the test declares dead.
func (w *watched) Departed(within time.Duration) []cluster.Departure {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(w.Cluster.Departed(within), w.gone...)
}

func (w *watched) setGone(d ...cluster.Departure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = d
}

func (w *watched) Fanout(ctx context.Context, members []cluster.Member, route, text string) []cluster.Ack {
	w.mu.Lock()
	deaf := w.deaf
	w.mu.Unlock()
	var acks []cluster.Ack
	var reached []cluster.Member
	for _, m := range members {
		if deaf[m.Name] {
			acks = append(acks, cluster.Ack{Member: m, Err: errors.New("deaf")})
			continue
		}
		reached = append(reached, m)
	}
	acks = append(acks, w.Cluster.Fanout(ctx, reached, route, text)...)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range acks {
		if a.Err == nil {
			w.told = append(w.told, a.Member.Name)
		}
	}
	return acks
}

func (w *watched) setDeaf(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = map[string]bool{}
	for _, n := range names {
		w.deaf[n] = true
	}
}

func (w *watched) wasTold(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.told, name)
}

var serial atomic.Int64

// startNode starts a node that joins the others.
func startNode(t testing.TB, name string, lease time.Duration, others ...*node) *node {
	t.Helper()
	return startNodeOn(t, testStore, name, lease, others...)
}

// startNodeOn starts a node on another store.
func startNodeOn(t testing.TB, s3 *store.S3, name string, lease time.Duration, others ...*node) *node {
	t.Helper()
	var join []string
	for _, o := range others {
		join = append(join, o.cluster.GossipAddr())
	}
	c, err := cluster.New(cluster.Config{
		Name: name, GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Join: join, Label: t.Name(), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{name: name, cluster: &watched{Cluster: c}, store: &faulty{S3: s3}}
	n.heads = heads.New(heads.Config{Lease: lease, Revalidate: time.Hour, Log: zerolog.Nop()}, n.cluster)
	n.fill, err = fill.New(fill.Config{
		Group: fmt.Sprint(t.Name(), serial.Add(1)), Plan: planOf(64*testChunk, testChunk), ChunkSize: testChunk, Log: zerolog.Nop(),
	}, s3, n.heads, c)
	if err != nil {
		t.Fatal(err)
	}
	n.path = New(Config{Lease: lease, Plan: planOf(256<<20, testChunk), ChunkSize: testChunk, MaxObject: 32 << 20,
		Waited: func(d time.Duration) { n.waited.Store(int64(d)) }, Log: zerolog.Nop()}, n.store, n.heads, n.fill, n.cluster)
	n.heads.Answer(c.Handle)
	n.fill.Answer(c.Handle)
	n.path.Answer(c.Handle)
	c.OnChange(n.heads.RingChanged)
	c.OnGossip(n.heads.Hint)
	ctx, cancel := context.WithCancel(context.Background())
	var ended errgroup.Group
	ended.Go(func() error { return c.Run(ctx) })
	ended.Go(func() error { return n.heads.Run(ctx) })
	ended.Go(func() error { return n.path.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := ended.Wait(); err != nil {
			t.Error(err)
		}
		n.fill.Close()
	})
	return n
}

// startCluster starts nodes that see each other.
func startCluster(t testing.TB, size int, lease time.Duration) []*node {
	t.Helper()
	var nodes []*node
	for i := range size {
		nodes = append(nodes, startNode(t, fmt.Sprint("node-", i), lease, nodes...))
	}
	awaitMembers(t, nodes, size)
	return nodes
}

func awaitMembers(t testing.TB, nodes []*node, size int) {
	t.Helper()
	testcluster.Holds(t, fmt.Sprint(size, " members everywhere"), func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return len(n.cluster.Members()) != size || !n.heads.Settled() })
	})
}

// keyOwnedBy finds a key that no other test uses and that this node owns.
func keyOwnedBy(t testing.TB, n *node) keys.Key {
	t.Helper()
	for {
		k, err := keys.New("test", keys.Objects, fmt.Sprint(t.Name(), serial.Add(1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, self := n.cluster.Owner(k.Hash()); self {
			return k
		}
	}
}

func (n *node) put(ctx context.Context, k keys.Key, body string) (Result, error) {
	return n.path.Put(ctx, k, store.Head{ContentType: "text/plain"}, []byte(body), Conditions{})
}

func mustPut(t testing.TB, n *node, k keys.Key, body string) Result {
	t.Helper()
	r, err := n.put(t.Context(), k, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get is what a node answers now; empty if there is nothing.
func get(t testing.TB, n *node, k keys.Key) string {
	t.Helper()
	o, err := n.fill.Open(t.Context(), k, fill.Options{})
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var b strings.Builder
	if err := o.Send(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// planOf is the plan of a tier of so many bytes on a large machine.
func planOf(tier, chunk int64) budget.Plan {
	return budget.New(budget.Sizes{Tier: tier, Limit: 64 << 30, Chunk: chunk, Part: max(chunk, 5<<20)})
}
