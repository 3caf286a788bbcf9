package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"larder/keys"
)

func recordsOf(members ...Member) map[string]*record {
	records := make(map[string]*record)
	for _, m := range members {
		records[m.ID] = (&Cluster{}).newRecord(m, "")
	}
	return records
}

func member(name string, start uint64) Member {
	return Member{Name: name, Incarnation: start, ID: fmt.Sprintf("%s-%d", name, start)}
}

func namedMembers(n int) []Member {
	var members []Member
	for i := range n {
		members = append(members, member(fmt.Sprintf("node-%d", i), 1))
	}
	return members
}

func (r *ring) ownerOf(hash uint64) Member { return r.owners[keys.Heaviest(r.hashes, hash)] }

func TestRingMovesOnlyWhatAJoinTakes(t *testing.T) {
	const n = 100_000
	for _, size := range []int{1, 3, 5, 10} {
		members := namedMembers(size + 1)
		newcomer := members[size]
		before, after := newRing(1, members[0], recordsOf(members[:size]...)), newRing(2, members[0], recordsOf(members...))
		r, moved := rand.New(rand.NewPCG(1, 2)), 0
		for range n {
			hash := r.Uint64()
			was, is := before.ownerOf(hash), after.ownerOf(hash)
			if was == is {
				continue
			}
			if is != newcomer {
				t.Fatalf("at %d members a join moves a key from %s to %s", size, was.Name, is.Name)
			}
			moved++
		}
		if ideal := float64(n) / float64(size+1); float64(moved) > 1.03*ideal || float64(moved) < 0.97*ideal {
			t.Errorf("at %d members a join moves %d keys; ideal is %.0f", size, moved, ideal)
		}
	}
}

func TestRingIsTheSameWhateverTheOrder(t *testing.T) {
	members := namedMembers(7)
	want := newRing(1, members[0], recordsOf(members...))
	for range 20 {
		rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		r := newRing(1, members[0], recordsOf(members...))
		for i, m := range r.members {
			if m != want.members[i] || r.hashes[i] != want.hashes[i] {
				t.Fatalf("member %d is %s, not %s", i, m.Name, want.members[i].Name)
			}
		}
	}
}

func TestRingOfTwoStartsOfOneName(t *testing.T) {
	self, old, again := member("a", 5), member("b", 1), member("b", 2)
	for _, c := range []struct {
		name    string
		leaving []Member
		want    []Member
	}{
		{"the later start counts", nil, []Member{self, again}},
		{"the earlier one leaves", []Member{old}, []Member{self, again}},
		{"the later one leaves", []Member{again}, []Member{self}},
		{"all leave", []Member{self, old, again}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			records := recordsOf(self, old, again)
			for _, m := range c.leaving {
				records[m.ID].leaving = true
			}
			r := newRing(1, self, records)
			if fmt.Sprint(r.members) != fmt.Sprint(c.want) {
				t.Errorf("members %v, want %v", r.members, c.want)
			}
			if owns := r.self >= 0; owns != (len(c.leaving) == 0 || len(c.leaving) == 3 || c.leaving[0] != self) {
				t.Errorf("owns a share: %v", owns)
			}
		})
	}
}

func TestOwnerWhileLeaving(t *testing.T) {
	self, other := member("a", 1), member("b", 1)
	records := recordsOf(self, other)
	records[self.ID].leaving = true
	if r := newRing(1, self, records); r.self >= 0 || r.ownerOf(7) != other {
		t.Error("a node that is leaving owns beside another member")
	}
	delete(records, other.ID)
	if r := newRing(1, self, records); r.self != 0 || len(r.members) != 0 {
		t.Error("a node that is leaving and alone must own, and be no member")
	}
}

func TestOwnerTakesNoMemory(t *testing.T) {
	n := start(t, "a")
	if allocs := testing.AllocsPerRun(100, func() { n.Owner(7) }); allocs > 0 {
		t.Errorf("Owner allocates %v times", allocs)
	}
}
