package cluster

import (
	"fmt"
	"math"
	"testing"

	"larder/test/testcluster"
)

// The estimated parts are what a ring gives, and add up.
func TestSharesAreWhatTheRingGives(t *testing.T) {
	for _, size := range []int{1, 3, 10} {
		members := namedMembers(size)
		r := newRing(1, members[0], recordsOf(members...))
		exact := make([]float64, size)
		const n = 1 << 20
		for i := range uint64(n) {
			owner := r.ownerOf(i * 0x9e3779b97f4a7c15)
			for j, m := range r.members {
				if m == owner {
					exact[j] += 1.0 / n
				}
			}
		}
		sum := 0.0
		for i, part := range r.parts() {
			sum += part
			if math.Abs(part-exact[i]) > 0.03*exact[i] {
				t.Errorf("%d members: %s is said to own %.4f, and owns %.4f", size, r.members[i].Name, part, exact[i])
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%d members own %f together", size, sum)
		}
	}
}

// Every member sees the same shares, and one that leaves has none.
func TestSharesOfAClusterAndItsChanges(t *testing.T) {
	a := start(t, "a")
	if a.Part() != 1 || a.Changes() != 0 {
		t.Errorf("alone it owns %f after %d changes", a.Part(), a.Changes())
	}
	b := start(t, "b", joining(a))
	agree(t, a, b)
	shares := a.Shares()
	if len(shares) != 2 || shares[0].Name != "a" || shares[0].Part != a.Part() || shares[1].Part != b.Part() || a.Changes() != 1 {
		t.Errorf("%v after %d changes; the parts are %f and %f", shares, a.Changes(), a.Part(), b.Part())
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	testcluster.Soon(t, func() error {
		if n := len(a.Members()); n != 1 {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	if a.Part() != 1 || b.Part() != 0 || a.Changes() != 2 || len(b.Shares()) != 1 {
		t.Errorf("after a leave they own %f and %f, %d changes", a.Part(), b.Part(), a.Changes())
	}
}
