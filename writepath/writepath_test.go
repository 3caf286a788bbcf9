package writepath

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill"
	"larder/fill/chunks"
	"larder/store"
	"larder/test/testcluster"
)

func TestWritesAreSeenEverywhereAtOnce(t *testing.T) {
	nodes := startCluster(t, 3, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	for i := range 9 {
		writer := nodes[i%3]
		body := fmt.Sprint("version ", i)
		if r := mustPut(t, writer, k, body); r.Created != (i == 0) {
			t.Errorf("write %d: created %v", i, r.Created)
		}
		for _, n := range nodes {
			if got := get(t, n, k); got != body {
				t.Fatalf("after write %d %s says %q", i, n.name, got)
			}
		}
	}
	if err := nodes[1].path.Delete(t.Context(), k, "ada", nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if got := get(t, n, k); got != "" {
			t.Errorf("after the delete %s says %q", n.name, got)
		}
	}
	if err := nodes[2].path.Delete(t.Context(), k, "ada", nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second delete: %v", err)
	}
}

// A member that does not acknowledge keeps a write waiting until its lease has
// run out; in that time the store holds the old version.
func TestSilentMemberIsWaitedFor(t *testing.T) {
	const lease = 400 * time.Millisecond
	nodes := startCluster(t, 3, lease)
	owner, silent := nodes[0], nodes[1]
	k := keyOwnedBy(t, owner)
	mustPut(t, owner, k, "v1")
	get(t, silent, k) // takes a lease
	owner.cluster.setDeaf(silent.name)
	owner.store.interfere(func() error {
		if got := get(t, silent, k); got != "v1" {
			t.Errorf("before the write the silent member says %q", got)
		}
		return nil
	}, func() error {
		if got := get(t, silent, k); got != "v2" {
			t.Errorf("the write is in the store and the silent member says %q", got)
		}
		return nil
	})
	began := time.Now()
	mustPut(t, owner, k, "v2")
	if took := time.Since(began); took < lease {
		t.Errorf("the write waited %s of a lease of %s", took, lease)
	}
}

// A member that cannot be told at first, and then can, costs no whole lease.
func TestSilentMemberIsToldAgain(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	nodes[0].cluster.setDeaf("node-1")
	heard := time.AfterFunc(50*time.Millisecond, func() { nodes[0].cluster.setDeaf() })
	defer heard.Stop()
	mustPut(t, nodes[0], k, "v1") // or the test runs into its deadline
}

func TestMemberThatJoinsMeanwhileIsTold(t *testing.T) {
	nodes := startCluster(t, 2, 20*time.Second)
	owner := nodes[0]
	k := keyOwnedBy(t, owner)
	owner.cluster.setDeaf("node-1")
	written := make(chan error, 1)
	go func() { _, err := owner.put(t.Context(), k, "v1"); written <- err }()
	joined := startNode(t, "node-2", time.Minute, nodes...)
	// Not for them to settle too: should the owner take node-1 for dead meanwhile,
	// as on a machine that is too busy, it could not settle with it while deaf.
	testcluster.Holds(t, "3 members everywhere", func() bool {
		return !slices.ContainsFunc(append(nodes, joined), func(n *node) bool { return len(n.cluster.Members()) != 3 })
	})
	testcluster.Holds(t, "the newcomer to be told", func() bool { return owner.cluster.wasTold("node-2") })
	owner.cluster.setDeaf()
	// The newcomer may own the key now; then it takes the write over.
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if got := get(t, joined, k); got != "v1" {
		t.Errorf("the newcomer says %q", got)
	}
}

// A node that joins in the middle of an upload trusts nothing as an owner until
// that is over.
func TestNewcomerSettlesAfterUploads(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	uploading, release := make(chan struct{}), make(chan struct{})
	nodes[0].store.interfere(func() error { close(uploading); <-release; return nil }, nil)
	written := make(chan error, 1)
	go func() { _, err := nodes[0].put(context.Background(), k, "v1"); written <- err }()
	<-uploading
	joined := startNode(t, "node-2", time.Minute, nodes...)
	testcluster.Holds(t, "the newcomer and the other to settle", func() bool {
		return len(joined.cluster.Members()) == 3 && joined.heads.Stats().Unsettled == 1 &&
			joined.heads.Unsettled(nodes[0].cluster.Self().ID)
	})
	if got := get(t, joined, k); got != "" {
		t.Errorf("before the upload the newcomer says %q", got)
	}
	close(release)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if got := get(t, joined, k); got != "v1" {
		t.Errorf("after it was acknowledged the newcomer says %q", got)
	}
	awaitMembers(t, append(nodes, joined), 3)
}

func TestUnknownOutcome(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	mustPut(t, nodes[0], k, "v1")
	nodes[0].store.interfere(nil, func() error { return store.ErrUnavailable })
	for _, n := range nodes {
		if _, err := n.put(t.Context(), k, "written by "+n.name); !errors.Is(err, ErrUnknown) {
			t.Errorf("through %s: %v", n.name, err)
		}
		for _, reader := range nodes {
			if got := get(t, reader, k); got != "written by "+n.name {
				t.Errorf("%s says %q", reader.name, got)
			}
		}
	}
}

func TestRefusedWriteChangesNothing(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	r := mustPut(t, nodes[1], k, "v1")
	for _, n := range nodes {
		for name, write := range map[string]func() error{
			"if absent": func() error {
				_, err := n.path.Put(t.Context(), k, store.Head{}, []byte("x"), Conditions{IfAbsent: true})
				return err
			},
			"if another": func() error {
				_, err := n.path.Put(t.Context(), k, store.Head{}, []byte("x"), Conditions{IfMatch: []string{"another"}})
				return err
			},
			"if one of others": func() error {
				_, err := n.path.Put(t.Context(), k, store.Head{}, []byte("x"), Conditions{IfMatch: []string{"one", "other"}})
				return err
			},
			"delete if another": func() error { return n.path.Delete(t.Context(), k, "ada", []string{"another"}) },
		} {
			if err := write(); !errors.Is(err, store.ErrPrecondition) {
				t.Errorf("%s through %s: %v", name, n.name, err)
			}
		}
		if got := get(t, n, k); got != "v1" {
			t.Errorf("%s says %q", n.name, got)
		}
	}
	if _, err := nodes[1].path.Put(t.Context(), k, store.Head{}, []byte("v2"), Conditions{IfMatch: []string{"another", r.Head.Version}}); err != nil {
		t.Errorf("if one is there: %v", err)
	}
	if _, err := nodes[1].path.Put(t.Context(), k, store.Head{}, []byte("v3"), Conditions{IfMatch: []string{"*"}}); err != nil {
		t.Errorf("if any is there: %v", err)
	}
	if _, err := nodes[1].path.Put(t.Context(), keyOwnedBy(t, nodes[0]), store.Head{}, []byte("x"), Conditions{IfMatch: []string{"*"}}); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("if any is there, on nothing: %v", err)
	}
}

func TestRacingWritersLeaveOneVersion(t *testing.T) {
	nodes := startCluster(t, 3, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	var writers sync.WaitGroup
	for i := range 30 {
		writers.Go(func() { mustPut(t, nodes[i%3], k, fmt.Sprint("by ", i)) })
	}
	writers.Wait()
	h, err := testStore.Head(t.Context(), k.Place())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		got, _, err := n.fill.Stat(t.Context(), k, fill.Options{})
		if err != nil || got.Version != h.Version {
			t.Errorf("%s says %+v, %v; the store %+v", n.name, got, err, h)
		}
	}
}

func TestCreateOnceByManyWriters(t *testing.T) {
	nodes := startCluster(t, 3, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	var writers sync.WaitGroup
	won := make(chan string, 30)
	for i := range 30 {
		writers.Go(func() {
			body := fmt.Sprint("by ", i)
			_, err := nodes[i%3].path.Put(t.Context(), k, store.Head{}, []byte(body), Conditions{IfAbsent: true})
			switch {
			case err == nil:
				won <- body
			case !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrConflict):
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	writers.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d writers created the object", len(won))
	}
	if body := <-won; get(t, nodes[1], k) != body {
		t.Errorf("the object is not what %q wrote", body)
	}
}

// A node that leaves hands its keys on while writes go on through the others.
func TestLeavingCostsNoWrite(t *testing.T) {
	nodes := startCluster(t, 3, time.Minute)
	leaver := nodes[0]
	k := keyOwnedBy(t, leaver)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for _, n := range nodes[1:] {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				mustPut(t, n, k, fmt.Sprint(n.name, " ", i))
			}
		})
	}
	mustPut(t, leaver, k, "before")
	if err := leaver.heads.Retire(t.Context()); err != nil {
		t.Error(err)
	}
	if err := leaver.cluster.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	mustPut(t, leaver, k, "after") // through the node that owns nothing any more
	stop()
	writers.Wait()
	last := mustPut(t, nodes[1], k, "last").Head.Version
	for _, n := range nodes {
		if h, _, err := n.fill.Stat(t.Context(), k, fill.Options{}); err != nil || h.Version != last {
			t.Errorf("%s says %+v, %v", n.name, h, err)
		}
	}
}

func TestOwnerOutOfReachIsNotBypassed(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := New(nodes[1].path.cfg, nodes[1].store, nodes[1].heads, nodes[1].fill, cutOff{nodes[1].cluster})
	if _, err := p.Put(ctx, k, store.Head{}, []byte("x"), Conditions{}); !errors.Is(err, ErrNotApplied) {
		t.Errorf("got %v", err)
	}
	if got := get(t, nodes[1], k); got != "" {
		t.Errorf("something was written: %q", got)
	}
}

// cutOff is a cluster whose members cannot be reached.
type cutOff struct{ *watched }

func (c cutOff) Ask(context.Context, cluster.Member, cluster.Question) (cluster.Answer, error) {
	return cluster.Answer{}, cluster.ErrUnreachable
}

// A write that the store refused was not written, through any node, and reads
// of its key come from memory as before it.
func TestRefusedByTheStore(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	mustPut(t, nodes[0], k, "v1")
	nodes[0].store.interfere(func() error {
		return fmt.Errorf("%w: %w: %w", store.ErrUnavailable, store.ErrNotWritten, store.Later{After: 20 * time.Second})
	}, nil)
	for _, n := range nodes {
		_, err := n.put(t.Context(), k, "refused")
		if !errors.Is(err, ErrNotApplied) || errors.Is(err, ErrUnknown) {
			t.Errorf("through %s: %v", n.name, err)
		}
		if later, _ := errors.AsType[store.Later](err); later.After != 20*time.Second {
			t.Errorf("through %s: %v", n.name, err)
		}
		if got := get(t, n, k); got != "v1" {
			t.Errorf("%s says %q", n.name, got)
		}
		if _, source, err := nodes[0].fill.Stat(t.Context(), k, fill.Options{}); err != nil || source != chunks.Memory {
			t.Errorf("read from %q, %v", source, err)
		}
	}
}
