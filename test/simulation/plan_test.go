package simulation

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// kind of a fault.
type kind string

const (
	kill   kind = "kill"   // a process ends, and its kernel resets its connections; it starts some time later
	off    kind = "off"    // a machine is off, and starts some time later
	hiccup kind = "hiccup" // a node is stopped for less than a lease
	pause  kind = "pause"  // a node is stopped until it is seen dead
	roll   kind = "roll"   // a node leaves, and starts again
	rolls  kind = "rolls"  // two nodes leave at once, and start again
	scale  kind = "scale"  // a node comes, and leaves some time later

	blip  kind = "blip"  // a cut that is over before anybody is seen dead
	cut   kind = "cut"   // nothing passes from one node to another, or between them
	apart kind = "apart" // nothing passes from one node to all others, or back
	slow  kind = "slow"  // packets between two nodes take their time
	loss  kind = "loss"  // packets are lost everywhere
	stall kind = "stall" // some of what connections carry takes long, packets do not: one path of several is bad
	reset kind = "reset" // all connections of a node are broken

	s3Slow   kind = "s3-slow"   // S3 takes its time, for the request and for the answer
	s3Broken kind = "s3-broken" // connections are broken off before S3 has the request
	s3Lost   kind = "s3-lost"   // S3 does it, and its answer is lost
	s3Busy   kind = "s3-busy"
	s3Gone   kind = "s3-gone" // nobody listens
	s3Late   kind = "s3-late" // the connection is broken off, and S3 does it some time later
)

// tracks are the groups of faults: those of one come one after the other, those
// of different ones overlap.
func tracks() [][]kind {
	return [][]kind{
		{kill, off, hiccup, pause, roll, rolls, scale},
		{blip, cut, apart, slow, loss, stall, reset},
		{s3Slow, s3Broken, s3Lost, s3Busy, s3Gone, s3Late},
	}
}

// fault is one fault of a plan.
type fault struct {
	track      int
	kind       kind
	at, lasts  time.Duration
	node, peer int
	oneWay     bool
	delay      time.Duration
	share      float64
}

// String is a line for a person.
func (f fault) String() string {
	s := fmt.Sprintf("%s for %s", f.kind, f.lasts.Round(time.Millisecond))
	switch f.kind {
	case kill, off, hiccup, pause, roll, reset:
		return fmt.Sprintf("%s: node-%d", s, f.node+1)
	case rolls:
		return fmt.Sprintf("%s: node-%d and node-%d", f.kind, f.node+1, f.peer+1)
	case blip, cut, slow:
		s = fmt.Sprintf("%s: node-%d to node-%d", s, f.node+1, f.peer+1)
	case apart:
		s = fmt.Sprintf("%s: node-%d to all others", s, f.node+1)
	default:
		s = fmt.Sprintf("%s: a share of %.2f, by %s", s, f.share, f.delay)
	}
	if !f.oneWay {
		s += ", and back"
	}
	return s
}

const (
	lasts       = 5 * time.Minute
	faultsAMany = 10
)

// plan is all that a seed decides beforehand.
type plan struct {
	seed         uint64
	nodes, spare int
	keys         []string
	builds       []buildKey
	clients      int // for each node
	pause        time.Duration
	faults       []fault
}

// planOf makes up a plan, of faults of these kinds or of any. It is a pure function.
func planOf(seed uint64, kinds ...kind) plan {
	rng := rand.New(rand.NewPCG(seed, 'p'))
	p := plan{seed: seed, nodes: 3 + rng.IntN(3), spare: 1, clients: 2, pause: time.Duration(500+rng.IntN(1500)) * time.Millisecond}
	for i := range 2 + rng.IntN(5) {
		p.keys = append(p.keys, fmt.Sprint("key-", i))
	}
	for i := range 3 {
		p.builds = append(p.builds, buildKey{fmt.Sprint("build-", i), i == 0})
	}
	if len(kinds) == 0 {
		kinds = slices.Concat(tracks()...)
		rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		kinds = kinds[:1+rng.IntN(len(kinds))] // so that some seeds have much of one kind
	}
	for range faultsAMany {
		p.faults = append(p.faults, faultOf(rng, kinds[rng.IntN(len(kinds))], p.nodes))
	}
	slices.SortStableFunc(p.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return p
}

func faultOf(rng *rand.Rand, k kind, nodes int) fault {
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(rng.Int64N(int64(most-least)))
	}
	f := fault{
		kind: k, at: between(5*time.Second, lasts-20*time.Second), lasts: between(time.Second, 15*time.Second),
		node: rng.IntN(nodes), oneWay: rng.IntN(2) == 0, share: 0.1 + 0.9*rng.Float64(), delay: between(time.Millisecond, 3*time.Second),
	}
	f.peer = (f.node + 1 + rng.IntN(nodes-1)) % nodes
	for i, t := range tracks() {
		if slices.Contains(t, k) {
			f.track = i
		}
	}
	switch k {
	case stall:
		f.share /= 2
	case hiccup, blip:
		f.lasts = between(100*time.Millisecond, 900*time.Millisecond)
	case loss:
		f.share = 0.02 + 0.3*rng.Float64()
	case slow:
		f.delay = between(time.Millisecond, 500*time.Millisecond)
	default:
	}
	return f
}

// String is the plan for a person.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d nodes, %d keys, a client acts every %s\n", p.seed, p.nodes, len(p.keys), p.pause)
	for _, f := range p.faults {
		fmt.Fprintf(&b, "%10.4f %s\n", f.at.Seconds(), f)
	}
	return b.String()
}
