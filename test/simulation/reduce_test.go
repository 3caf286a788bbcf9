package simulation

import (
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
)

// reproducible gives all chance that can be had a source that begins the same for
// each run of a seed.
func reproducible(t *testing.T, seed uint64) {
	cryptotest.SetGlobalRandom(t, seed)
	rand.Seed(int64(seed)) //nolint:staticcheck // memberlist has seeded it by chance
}

// mostTries bounds the search for the least of a plan that still fails.
const mostTries = 60

// cutDown is what is left of a plan.
type cutDown struct {
	seed    uint64
	faults  []int // by their places in the plan
	clients int   // of each node
}

// whole is all of a plan.
func whole(p plan) cutDown {
	c := cutDown{seed: p.seed, clients: p.clients}
	for i := range p.faults {
		c.faults = append(c.faults, i)
	}
	return c
}

// of is the plan that is left.
func (c cutDown) of(p plan) plan {
	all := p.faults
	p.clients, p.faults = c.clients, nil
	for _, i := range c.faults {
		p.faults = append(p.faults, all[i])
	}
	return p
}

// flags are those of a process that runs it.
func (c cutDown) flags() []string {
	list := []string{}
	for _, i := range c.faults {
		list = append(list, strconv.Itoa(i))
	}
	if len(list) == 0 {
		list = append(list, "none")
	}
	return []string{"-faults", strings.Join(list, ","), "-clients", fmt.Sprint(c.clients)}
}

// numbers reads a list of faults.
func numbers(list string) (all []int) {
	for text := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(text); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// reduce leaves out clients and faults as long as what is left still fails: first
// halves, then smaller parts, as Zeller's delta debugging does. It returns what is
// left, with its story.
func reduce(c cutDown, story string, run func(cutDown) (string, bool)) (cutDown, string) {
	tries := 0
	fails := func(less cutDown) bool {
		if tries++; tries > mostTries {
			return false
		}
		told, ok := run(less)
		if !ok {
			c, story = less, told
		}
		return !ok
	}
	fails(cutDown{c.seed, c.faults, 1})
	for part := max(1, len(c.faults)/2); ; part /= 2 {
		for i := 0; i < len(c.faults); {
			end := min(i+part, len(c.faults))
			if !fails(cutDown{c.seed, slices.Delete(slices.Clone(c.faults), i, end), c.clients}) {
				i = end
			}
		}
		if part <= 1 {
			return c, story
		}
	}
}
