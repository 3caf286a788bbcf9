package simulation

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	first   = flag.Uint64("seed", 1, "the first seed; 0 is by chance")
	seeds   = flag.Int("seeds", 24, "how many seeds")
	only    = flag.String("kinds", "", "the kinds of faults, with commas between them; any if empty")
	verbose = flag.Bool("story", false, "tell the story of every seed, with the nodes' debug lines")
	reduces = flag.Bool("reduce", true, "look for the least of a seed's faults and clients that still fails")
	most    = flag.Int64("failures", 3, "how many seeds may fail before no more are tried")
	repeats = flag.Int("repeat", 1, "how often each seed is run")

	// These are one seed's, in a process of its own.
	alone   = flag.Bool("alone", false, "run one seed in this process")
	faults  = flag.String("faults", "", "which of the seed's faults happen, by their numbers; all if empty")
	clients = flag.Int("clients", 2, "how many clients each node has")
)

// seedLimit bounds one seed in real time.
const seedLimit = 10 * time.Minute

// TestSeeds simulates a cluster for each seed, each in a process of its own: what a
// seed does depends on nothing that ran before it.
func TestSeeds(t *testing.T) {
	if *alone {
		one(t)
		return
	}
	from := *first
	if from == 0 {
		from = rand.Uint64N(1_000_000)
	}
	var failures, traces, givenUp atomic.Int64
	work := make(chan struct{}, runtime.GOMAXPROCS(0)) // holds an element for each seed under way
	t.Run("seeds", func(t *testing.T) {
		for i := range *seeds * *repeats {
			p := planOf(from+uint64(i / *repeats), kinds()...)
			t.Run(fmt.Sprint(p.seed), func(t *testing.T) {
				t.Parallel()
				work <- struct{}{}
				defer func() { <-work }()
				if *repeats == 1 && failures.Load() >= *most {
					return
				}
				story, ok := elsewhere(t, whole(p))
				all, lost := tracesOf(story)
				traces.Add(all)
				givenUp.Add(lost)
				if !ok {
					failures.Add(1)
					fmt.Printf("SEED=%d failed\n", p.seed)
					report(t, p, story)
				}
			})
		}
	})
	fmt.Printf("seeds=%d failures=%d from SEED=%d\n", *seeds**repeats, failures.Load(), from)
	fmt.Printf("the traces of %d keys were checked, and %d given up\n", traces.Load(), givenUp.Load())
}

// tracesOf is how many keys' traces a seed's process has checked, and given up, by its story.
func tracesOf(story string) (all, givenUp int64) {
	if _, line, ok := strings.Cut("\n"+story, "\ntraces="); ok {
		_, _ = fmt.Sscanf("traces="+line, tracesLine, &all, &givenUp) // both stay 0 if it did not come so far
	}
	return all, givenUp
}

// kinds are those of the flag.
func kinds() (all []kind) {
	for name := range strings.SplitSeq(*only, ",") {
		if name != "" {
			all = append(all, kind(name))
		}
	}
	return all
}

// elsewhere runs a seed, or what is left of it, in a process of its own, and returns
// what that wrote and whether all was well. The process has one thread that runs Go
// code, and collects no garbage before it has a gibibyte, so that neither makes two
// runs different.
func elsewhere(t *testing.T, c cutDown) (story string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), seedLimit)
	defer cancel()
	args := append([]string{"-test.run=^TestSeeds$", "-alone", "-seed", strconv.FormatUint(c.seed, 10), "-kinds", *only}, c.flags()...)
	if *verbose {
		args = append(args, "-story")
	}
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=1GiB", "GODEBUG=asyncpreemptoff=1")
	out, err := cmd.CombinedOutput()
	if *verbose {
		t.Logf("%s", out)
	}
	if err != nil {
		return fmt.Sprintf("%s%s", out, err), false
	}
	return string(out), true
}

// report tells the story of a seed that failed, and first looks for the least of it
// that still fails.
func report(t *testing.T, p plan, story string) {
	t.Helper()
	if *reduces {
		var c cutDown
		c, story = reduce(whole(p), story, func(c cutDown) (string, bool) { return elsewhere(t, c) })
		t.Logf("%d of %d faults and %d of %d clients a node are enough: -alone -seed %d %s",
			len(c.faults), len(p.faults), c.clients, p.clients, p.seed, strings.Join(c.flags(), " "))
	}
	t.Errorf("%s", story)
}

// one runs the seed of the flags in this process.
func one(t *testing.T) {
	p := planOf(*first, kinds()...)
	c := whole(p)
	c.clients = *clients
	if *faults != "" {
		c.faults = numbers(*faults)
	}
	reproducible(t, p.seed)
	w := simulate(t, c.of(p), *verbose)
	judge(t, w)
}

// simulate runs a plan in a bubble.
func simulate(t *testing.T, p plan, verbose bool) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(p, verbose)
		w.run()
	})
	return w
}
