package simulation

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"larder/test/history"
)

var (
	first   = flag.Uint64("seed", 1, "the first seed; 0 is by chance")
	seeds   = flag.Int("seeds", 24, "how many seeds")
	only    = flag.String("kinds", "", "the kinds of faults, with commas between them; any if empty")
	verbose = flag.Bool("story", false, "tell the story of every seed, with the nodes' debug lines")
)

// mostFailures is how many seeds may fail before no more are tried.
const mostFailures = 3

// TestSeeds simulates a cluster for each seed.
func TestSeeds(t *testing.T) {
	from := *first
	if from == 0 {
		from = rand.Uint64N(1_000_000)
	}
	var failures atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for i := range *seeds {
			seed := from + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				if failures.Load() >= mostFailures {
					return
				}
				w := simulate(t, planOf(seed, kinds()...), *verbose)
				judge(t, w)
				w.release()
				if t.Failed() {
					failures.Add(1)
					fmt.Printf("SEED=%d failed\n", seed)
				}
			})
		}
	})
	fmt.Printf("seeds=%d failures=%d from SEED=%d\n", *seeds, failures.Load(), from)
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

// simulate runs a plan in a bubble.
func simulate(t *testing.T, p plan, verbose bool) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(p, verbose)
		w.run()
	})
	return w
}

// endLimit is how long what a node has begun may go on after its end, such as a
// large write.
const endLimit = 5 * time.Minute

// run is the life of a cluster, until nothing of it is left.
func (w *world) run() {
	for _, s := range w.slots[:w.nodes] {
		w.start(s)
	}
	for _, s := range w.slots[:w.nodes] {
		w.welcome(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var others sync.WaitGroup
	for i := range w.clients * len(w.slots) {
		s := w.slots[i%len(w.slots)]
		c := &client{world: w, slot: s, id: i, rng: seeded(w.seed, fmt.Sprint("client ", i))}
		others.Go(func() { c.run(ctx) })
	}
	others.Go(func() { w.watch(ctx) })
	w.inflict(ctx)
	sleep(ctx, time.Until(w.history.Began.Add(lasts)))
	w.recover(ctx)
	cancel()
	others.Wait()
	w.finish()
	for _, s := range w.slots {
		if n := s.node.Load(); n != nil {
			n.serving.Store(false)
			n.stop()
			<-n.stopped
			n.host.end(false)
		}
	}
	time.Sleep(endLimit)
}

// recover waits until all is well again.
func (w *world) recover(ctx context.Context) {
	for range 600 {
		if known, settled := w.agree(); known && settled {
			w.look()
			sleep(ctx, withDrift(revalidate)+withDrift(lease))
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
	w.fail("members do not agree a minute after the last fault")
}

// finish reads every key at every node.
func (w *world) finish() {
	for i, key := range w.keys {
		truth := (*history.Op)(nil)
		for _, s := range w.slots {
			n := s.node.Load()
			if n == nil || !n.serving.Load() {
				continue
			}
			c := &client{world: w, slot: s, id: -1 - i, rng: seeded(w.seed, "last")}
			o := &history.Op{Client: -1 - i, Node: s.index, Key: key, Verb: history.Get, Fresh: truth == nil}
			c.do(n, o)
			if truth == nil {
				truth = o
			}
			if o.Outcome != history.Done || o.Found != truth.Found {
				w.fail("when all was over:\n%s\n%s", truth, o)
			}
		}
	}
}

// judge holds what clients were told to what the protocol promises.
func judge(t *testing.T, w *world) {
	t.Helper()
	tale := []*history.Op(nil)
	relaxed, all := 0, 0
	for key, ops := range w.history.ByKey() {
		var strict []*history.Op
		for _, o := range ops {
			o.Lenient = w.relaxed(o)
			if o.Lenient {
				relaxed++
			}
			all++
			if !o.Lenient || !o.Reads() || o.Fresh {
				strict = append(strict, o)
			}
		}
		for _, st := range history.StaleReads(ops) {
			if bound := withDrift(revalidate) + time.Duration(st.Read.Ret-st.Read.Call); !st.Read.Lenient || st.Age > bound {
				w.failures = append(w.failures, fmt.Sprintf("%s: too old by %s:\n%s\nreplaced by\n%s", key, st.Age, st.Read, st.By))
				tale = ops
			}
		}
		if v := history.Linearizable(strict); v.CheckResult != porcupine.Ok {
			w.failures = append(w.failures, fmt.Sprintf("%s: linearizable: %s", key, v.CheckResult))
			tale = ops
		}
	}
	if *verbose || len(w.failures) > 0 {
		t.Logf("%s\n%s", w.plan, w.tale(tale))
	}
	t.Logf("%d operations, %d while members may have disagreed", all, relaxed)
	for _, f := range w.failures {
		t.Error(f)
	}
}

// sortLines sorts lines that begin with a time.
func sortLines(lines []string) {
	at := func(line string) float64 {
		var f float64
		_, _ = fmt.Sscanf(strings.TrimSpace(line), "%f", &f) // the rest of a longer entry stays behind it
		return f
	}
	slices.SortStableFunc(lines, func(a, b string) int { return cmp.Compare(at(a), at(b)) })
}

// TestMain lets garbage lie for longer: there is much of it, and little that lives.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	debug.SetMemoryLimit(1 << 30)
	m.Run()
}
