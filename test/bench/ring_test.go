package bench

import (
	"fmt"
	"slices"
	"testing"

	"larder/keys"
	"larder/test/bench/report"
)

// ringRow is how evenly the ring spreads keys, and how many move when a node
// joins: with the node's own code, over strategy keys.
func ringRow(b *testing.B, s *bench) {
	const n = 1_000_000
	hashes := make([]uint64, n)
	for i := range hashes {
		name := fmt.Sprintf("STRATEGY %06d|2022-01-30T00:00:00+00:00||41160d054edf7f0960015019d902b27e", i)
		k, err := keys.New("default", keys.Strategies, name)
		if err != nil {
			b.Fatal(err)
		}
		hashes[i] = k.Hash()
	}
	for _, nodes := range []int{3, 5, 10, 50} {
		heaviest, moved := spreadOf(hashes, nodes)
		row := fmt.Sprintf("Ring over %d keys", n)
		s.add(
			report.Measured(row, fmt.Sprintf("nodes: %d, keys of the heaviest", nodes), "of the mean", heaviest).Judged(atMost(1.02)),
			report.Measured(row, fmt.Sprintf("nodes: %d, keys that move when the last one joins", nodes), "of 1/n", moved).Judged(atMost(1.02)),
		)
	}
}

// spreadOf gives hashes to nodes, and returns the heaviest node's share over the
// mean, and the share that the last node's joining moves over 1/nodes.
func spreadOf(hashes []uint64, nodes int) (heaviest, moved float64) {
	members := make([]uint64, nodes)
	for i := range members {
		members[i] = keys.HashMember(fmt.Sprint("larder-", i))
	}
	counts := make([]int, nodes)
	changed := 0
	for _, h := range hashes {
		owner := keys.Heaviest(members, h)
		counts[owner]++
		if owner != keys.Heaviest(members[:nodes-1], h) {
			changed++
		}
	}
	mean := float64(len(hashes)) / float64(nodes)
	return float64(slices.Max(counts)) / mean, float64(changed) / mean
}

func TestSpreadOf(t *testing.T) {
	hashes := make([]uint64, 30_000)
	for i := range hashes {
		hashes[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	if heaviest, moved := spreadOf(hashes, 3); heaviest < 1 || heaviest > 1.1 || moved < 0.9 || moved > 1.1 {
		t.Errorf("heaviest %v, moved %v", heaviest, moved)
	}
	if heaviest, moved := spreadOf(hashes[:1], 2); heaviest != 2 || moved != 0 && moved != 2 {
		t.Errorf("of one key: heaviest %v, moved %v", heaviest, moved)
	}
}
