package simulation

import (
	"slices"
	"testing"
	"time"
)

// TestReduce holds that what is not needed to fail is left out, and nothing else.
func TestReduce(t *testing.T) {
	for name, needed := range map[string][]int{"one": {7}, "two that lie apart": {0, 9}, "none": nil, "all": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		t.Run(name, func(t *testing.T) {
			c, story := reduce(whole(planOf(1)), "at first", func(c cutDown) (string, bool) {
				for _, n := range needed {
					if !slices.Contains(c.faults, n) {
						return "", true
					}
				}
				return "failed", c.clients < 2
			})
			if !slices.Equal(c.faults, needed) || c.clients != 2 || (story == "at first") != (len(needed) == len(planOf(1).faults)) {
				t.Errorf("left are %v and %d clients: %s", c.faults, c.clients, story)
			}
		})
	}
}

// TestChanceIsOfTheMoment holds that what is drawn at a time does not depend on what was
// drawn before.
func TestChanceIsOfTheMoment(t *testing.T) {
	a, b := newChance(1, "a link"), newChance(1, "a link")
	at := time.Unix(1, 0)
	for i := range 10 {
		_ = a.share(at, i)
	}
	if a.share(at, 3) != b.share(at, 3) || a.share(at, 3) == a.share(at, 4) || a.share(at, 3) == newChance(2, "a link").share(at, 3) {
		t.Error("the draws differ where they must not, or are the same where they must differ")
	}
}
