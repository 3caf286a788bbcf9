package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	seed     = flag.Uint64("seed", 0, "of the first round; 0 is by chance")
	duration = flag.Duration("duration", 0, "run rounds made of seeds for so long, instead of the fixed scenarios")
)

// fixed are the scenarios of 'make test'.
func fixed() []scenario {
	return []scenario{
		{name: "kill", seed: 1, nodes: 3, kinds: []kind{kill}, lasts: 15 * time.Second},
		{name: "roll", seed: 2, nodes: 3, kinds: []kind{roll}, lasts: 8 * time.Second},
		{name: "scale", seed: 3, nodes: 3, kinds: []kind{scale}, lasts: 10 * time.Second},
		{name: "s3", seed: 3, nodes: 3, kinds: []kind{s3Reset, s3Lost, s3Error, s3Busy, s3Late}, lasts: 18 * time.Second},
		{name: "slow", seed: 5, nodes: 3, kinds: []kind{hiccup, s3Slow}, lasts: 12 * time.Second},
		{name: "blip", seed: 6, nodes: 3, kinds: []kind{blip}, lasts: 12 * time.Second},
		{name: "pause", seed: 2, nodes: 3, kinds: []kind{pause}, lasts: 16 * time.Second},
		{name: "cut", seed: 1, nodes: 3, kinds: []kind{cut, apart, delay}, lasts: 18 * time.Second},
		{name: "mixed", seed: 9, nodes: 5, kinds: []kind{kill, s3Slow, s3Lost}, lasts: 15 * time.Second},
	}
}

// TestFaults runs the fixed scenarios, or rounds for as long as -duration.
func TestFaults(t *testing.T) {
	separate := namespaces(t) == nil
	if *duration > 0 {
		rounds(t, separate)
		return
	}
	for _, s := range fixed() {
		if s.isApart() && !separate {
			continue // TestNamespaces says so
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			run(t, s, func() {})
		})
	}
}

// rounds runs one round after the other, for as long as -duration from the first fault:
// what it takes to build and start is no part of that. The seed of a round is that of the
// first and its number, so that any can be made the first.
func rounds(t *testing.T, separate bool) {
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1_000_000)
	}
	fmt.Printf("SEED=%d\n", first)
	var end time.Time
	begun := func() {
		if end.IsZero() {
			end = time.Now().Add(*duration)
		}
	}
	for ; (end.IsZero() || time.Now().Before(end)) && !t.Failed(); first++ {
		s := roundOf(first, separate)
		fmt.Printf("SEED=%d: %s\n", first, s)
		t.Run(s.name, func(t *testing.T) { run(t, s, begun) })
	}
}

// roundOf makes up a round. It is a pure function.
func roundOf(seed uint64, separate bool) scenario {
	rng := rand.New(rand.NewPCG(seed, 'r'))
	ofS3 := []kind{s3Slow, s3Reset, s3Lost, s3Error, s3Busy, s3Gone, s3Late}
	ofNodes := []kind{kill, roll, scale, hiccup, pause}
	ofNetwork := []kind{blip, cut, apart, delay}
	some := func(kinds []kind) []kind {
		rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		return kinds[:1+rng.IntN(len(kinds))]
	}
	s := scenario{name: fmt.Sprint(seed), seed: seed, nodes: 3 + 2*rng.IntN(2), lasts: 40 * time.Second}
	what := rng.IntN(6)
	if what != 0 {
		s.kinds = append(s.kinds, some(ofNodes)...)
	}
	if what < 3 {
		s.kinds = append(s.kinds, some(ofS3)...)
	}
	if what == 5 && separate {
		s.kinds = append(s.kinds, some(ofNetwork)...)
	}
	return s
}

// TestNamespaces reports whether faults between nodes, and pods, are among what ran.
func TestNamespaces(t *testing.T) {
	if err := namespaces(t); err != nil {
		t.Logf("no cuts and delays between nodes here, which need network namespaces and so root: %v", err)
		return
	}
	t.Log("each node can have a network of its own: cuts and delays between nodes ran")
	if err := lands(t); err != nil {
		t.Logf("no lifecycle of pods here, which need mount namespaces too: %v", err)
	}
}

func namespaces(t testing.TB) error {
	_, _, err := newNetwork(t, 2)
	return err
}
