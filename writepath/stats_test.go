package writepath

import (
	"io"
	"testing"
	"time"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/test/testcluster"
)

// What an owner sent, what the others received, and how long a write waited
// for members that are silent or dead.
func TestRevocationsAreCounted(t *testing.T) {
	const lease = 300 * time.Millisecond
	nodes := startCluster(t, 3, lease)
	owner := nodes[0]
	k := keyOwnedBy(t, owner)
	mustPut(t, owner, k, "v1")
	if s := owner.path.Stats(); s != (Stats{Acknowledged: 2}) {
		t.Errorf("after a write: %+v", s)
	}
	for _, n := range nodes[1:] {
		if s := n.heads.Stats(); s.Dropped != 1 || s.Refused != 0 {
			t.Errorf("at %s: %+v", n.name, s)
		}
	}
	if owner.waited.Swap(0) <= 0 {
		t.Error("not said how long the write waited")
	}

	owner.cluster.setDeaf("node-1")
	mustPut(t, owner, k, "v2")
	s := owner.path.Stats()
	if s.Acknowledged != 3 || s.Silent < 2 || s.SilentWaitedOut != 1 || s.DepartedWaitedOut != 0 {
		t.Errorf("after a write that a member was silent at: %+v", s)
	}
	if waited := time.Duration(owner.waited.Load()); waited < lease {
		t.Errorf("waited %s for a silent member", waited)
	}

	owner.cluster.setDeaf()
	get(t, nodes[2], k) // under a lease
	owner.cluster.setGone(cluster.Departure{Member: cluster.Member{ID: "dead"}, At: time.Now()})
	mustPut(t, owner, k, "v3")
	if s := owner.path.Stats(); s.SilentWaitedOut != 1 || s.DepartedWaitedOut != 1 {
		t.Errorf("after a write that a member had died before: %+v", s)
	}
}

// A member that is writing the key itself says so, and is asked again.
func TestBusyMembersAreCounted(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	owner, other := nodes[0], nodes[1]
	k := keyOwnedBy(t, owner)
	other.cluster.owns.Store(true)
	turn, err := other.heads.Begin(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := turn.Upload(time.Now()); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { _, err := owner.put(t.Context(), k, "v1"); written <- err }()
	testcluster.Holds(t, "a member that is busy", func() bool {
		return owner.path.Stats().Busy > 0 && other.heads.Stats().Refused > 0
	})
	turn.End(heads.Outcome{})
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if s := owner.path.Stats(); s.Acknowledged != 1 || s.Silent != 0 {
		t.Errorf("%+v", s)
	}
}

// Uploads count while they are on their way.
func TestUploadsInFlight(t *testing.T) {
	n := startCluster(t, 1, time.Minute)[0]
	k := keyOwnedBy(t, n)
	var during Stats
	n.store.interfere(func() error { during = n.path.Stats(); return nil }, nil)
	mustPut(t, n, k, "v1")
	if during.Whole != 1 || during.InParts != 0 {
		t.Errorf("while an object is uploaded: %+v", during)
	}
	body := &looking{path: n.path, left: 3 * testChunk}
	if _, err := n.path.PutLarge(t.Context(), keys.Key{Org: "test", Service: keys.Objects, Name: t.Name()}, Upload{Body: body, Verify: func() error { return nil }}); err != nil {
		t.Fatal(err)
	}
	if body.during.Whole != 0 || body.during.InParts != 1 {
		t.Errorf("while an object is uploaded in parts: %+v", body.during)
	}
	if s := n.path.Stats(); s.Whole != 0 || s.InParts != 0 {
		t.Errorf("afterwards: %+v", s)
	}
}

// looking is a body that looks at the node when it is read.
type looking struct {
	path   *Path
	left   int
	during Stats
}

func (l *looking) Read(p []byte) (int, error) {
	l.during = l.path.Stats()
	n := min(len(p), l.left)
	if l.left -= n; l.left == 0 {
		return n, io.EOF
	}
	return n, nil
}
