package bench

import (
	"testing"

	"larder/test/bench/report"
)

// turns measures each side once in every round, and begins each round with
// another side, so that none always has the same one before it.
func turns(rounds int, sides ...func() float64) [][]float64 {
	samples := make([][]float64, len(sides))
	for i := range rounds {
		for j := range sides {
			at := (i + j) % len(sides)
			samples[at] = append(samples[at], sides[at]())
		}
	}
	return samples
}

// batches is turns for what takes one request: in every round n of each side,
// one by one, of which the median counts.
func batches(rounds, n int, sides ...func() float64) [][]float64 {
	medians := make([][]float64, len(sides))
	for range rounds {
		for at, samples := range turns(n, sides...) {
			medians[at] = append(medians[at], report.Median(samples))
		}
	}
	return medians
}

func atLeast(v float64) report.Target { return report.Target{Is: report.AtLeast, Value: v} }
func atMost(v float64) report.Target  { return report.Target{Is: report.AtMost, Value: v} }

func TestTurns(t *testing.T) {
	var order []int
	side := func(n int) func() float64 {
		return func() float64 {
			order = append(order, n)
			return float64(10*n + len(order))
		}
	}
	got := turns(2, side(0), side(1), side(2))
	want := [][]float64{{1, 6}, {12, 14}, {23, 25}}
	for i := range want {
		if len(got[i]) != 2 || got[i][0] != want[i][0] || got[i][1] != want[i][1] {
			t.Errorf("side %d: %v, want %v; order %v", i, got[i], want[i], order)
		}
	}
}

func TestBatches(t *testing.T) {
	n := 0.0
	count := func() float64 { n++; return n }
	zero := func() float64 { return 0 }
	got := batches(2, 3, count, zero)
	if got[0][0] != 2 || got[0][1] != 5 || got[1][1] != 0 {
		t.Errorf("medians %v", got)
	}
}
