package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// kind of a fault.
type kind string

const (
	kill   kind = "kill"   // SIGKILL, and a start some time later
	hiccup kind = "hiccup" // SIGSTOP, and SIGCONT before the lease is over and anybody is seen dead
	pause  kind = "pause"  // SIGSTOP until the node is seen dead, SIGCONT
	roll   kind = "roll"   // each node in turn: SIGTERM, wait, start
	scale  kind = "scale"  // two nodes come, and leave some time later

	blip  kind = "blip"  // a cut that is over before anybody is seen dead
	cut   kind = "cut"   // nothing passes from one node to another, or between them
	apart kind = "apart" // nothing passes between one node and all others
	delay kind = "delay" // packets between two nodes take their time

	s3Slow  kind = "s3-slow"  // S3 takes its time, for the request and for the answer
	s3Reset kind = "s3-reset" // connections are broken off before S3 has the request
	s3Lost  kind = "s3-lost"  // S3 does it, and its answer is lost
	s3Error kind = "s3-500"
	s3Busy  kind = "s3-503"
	s3Gone  kind = "s3-gone" // nobody listens
	s3Late  kind = "s3-late" // the connection is broken off, and S3 does it some time later
)

// track is a group of faults that come one after the other; those of
// different tracks overlap.
type track string

const (
	ofNodes   track = "nodes"
	ofNetwork track = "network"
	ofS3      track = "s3"
)

func (k kind) track() track {
	switch k {
	case kill, hiccup, pause, roll, scale:
		return ofNodes
	case blip, cut, apart, delay:
		return ofNetwork
	default:
		return ofS3
	}
}

// cuts reports whether two nodes are cut off from each other.
func (k kind) cuts() bool { return k == cut || k == blip }

// fault is one fault of a schedule.
type fault struct {
	at, lasts  time.Duration
	kind       kind
	node, peer int
	oneWay     bool
	delay      time.Duration
	share      float64
}

func (f fault) String() string {
	s := fmt.Sprintf("%5.1fs +%4.1fs %-8s", f.at.Seconds(), f.lasts.Seconds(), f.kind)
	switch {
	case f.kind.cuts() && f.oneWay:
		return fmt.Sprintf("%s node-%d to node-%d", s, f.node+1, f.peer+1)
	case f.kind.cuts() || f.kind == delay:
		s = fmt.Sprintf("%s node-%d and node-%d", s, f.node+1, f.peer+1)
	case f.kind == kill || f.kind == hiccup || f.kind == pause || f.kind == apart:
		s = fmt.Sprintf("%s node-%d", s, f.node+1)
	}
	if f.delay > 0 {
		s = fmt.Sprintf("%s by %s", s, f.delay)
	}
	if f.kind.track() == ofS3 && f.kind != s3Gone {
		s = fmt.Sprintf("%s, %.0f%% of requests", s, 100*f.share)
	}
	return s
}

// schedule makes up the faults of a run, by time. It is a pure function.
func schedule(seed uint64, nodes int, kinds []kind, lasts time.Duration) []fault {
	var all []fault
	for i, tr := range []track{ofNodes, ofNetwork, ofS3} {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		mine := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k.track() != tr })
		if len(mine) == 0 {
			continue
		}
		rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		at := between(rng, time.Second, 2*time.Second)
		for n := 0; ; n++ {
			f := newFault(rng, mine[n%len(mine)], nodes) // each kind comes as soon as there is time
			if f.at = at; f.at+f.lasts > lasts && n > 0 {
				break
			}
			all = append(all, f)
			at += f.lasts + between(rng, f.kind.rest(), 4*f.kind.rest())
		}
	}
	slices.SortStableFunc(all, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return all
}

func newFault(rng *rand.Rand, k kind, nodes int) fault {
	f := fault{kind: k, node: rng.IntN(nodes), share: 0.2 + 0.4*rng.Float64()}
	f.peer = (f.node + 1 + rng.IntN(nodes-1)) % nodes
	f.oneWay = rng.IntN(2) == 0
	switch k {
	case kill:
		f.lasts = between(rng, 200*time.Millisecond, 5*time.Second)
	case hiccup, blip:
		f.lasts = between(rng, 200*time.Millisecond, 900*time.Millisecond)
	case pause:
		f.lasts = between(rng, 3*time.Second, 8*time.Second)
	case roll:
		f.lasts = 6 * time.Second
	case scale:
		f.lasts = between(rng, 3*time.Second, 6*time.Second)
	case cut, apart: // the others see the node dead after some 3 s
		f.lasts = between(rng, 3*time.Second, 9*time.Second)
	case delay:
		f.lasts, f.delay = between(rng, 2*time.Second, 6*time.Second), between(rng, 20*time.Millisecond, 600*time.Millisecond)
	case s3Slow:
		f.lasts, f.delay, f.share = between(rng, 2*time.Second, 6*time.Second), between(rng, 50*time.Millisecond, 800*time.Millisecond), f.share+0.3
	case s3Gone:
		f.lasts = 10 * time.Second
	case s3Late:
		f.lasts, f.delay = between(rng, time.Second, 4*time.Second), between(rng, 200*time.Millisecond, 2*time.Second)
	default:
		f.lasts = between(rng, time.Second, 4*time.Second)
	}
	return f
}

// rest is the least time from the end of a fault to the next of its track.
func (k kind) rest() time.Duration {
	switch {
	case k == hiccup || k == blip:
		return 200 * time.Millisecond
	case k.track() == ofS3:
		return 500 * time.Millisecond
	}
	return time.Second
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least))).Truncate(time.Millisecond)
}

// scenario is a run to be made.
type scenario struct {
	name  string
	seed  uint64
	nodes int
	kinds []kind
	lasts time.Duration
}

// agree reports whether the design promises that the members agree, and S3 keeps
// to what it answered, so that the history must be linearizable.
func (s scenario) agree() bool {
	owners := slices.ContainsFunc(s.kinds, func(k kind) bool { return k.track() == ofNodes })
	return !slices.ContainsFunc(s.kinds, func(k kind) bool {
		return k == pause || k == cut || k == apart || k == delay || k == s3Late && owners
	})
}

// isApart reports whether the nodes need a network of their own.
func (s scenario) isApart() bool {
	return slices.ContainsFunc(s.kinds, func(k kind) bool { return k.track() == ofNetwork })
}

// smooth reports whether nothing happens at which a request may fail.
func (s scenario) smooth() bool {
	return !slices.ContainsFunc(s.kinds, func(k kind) bool { return k != roll && k != scale })
}

func (s scenario) String() string {
	names := []string{}
	for _, k := range s.kinds {
		names = append(names, string(k))
	}
	promise := "bounded"
	if s.agree() {
		promise = "current"
	}
	return fmt.Sprintf("seed %d, %d nodes, %s, %s: %s", s.seed, s.nodes, s.lasts, promise, strings.Join(names, " "))
}

func TestScheduleIsAFunctionOfItsSeed(t *testing.T) {
	kinds := []kind{kill, pause, cut, s3Slow, s3Gone}
	a, b := schedule(7, 3, kinds, time.Minute), schedule(7, 3, kinds, time.Minute)
	if !slices.Equal(a, b) || len(a) == 0 {
		t.Errorf("seed 7 makes %v, and then %v", a, b)
	}
	if c := schedule(8, 3, kinds, time.Minute); slices.Equal(a, c) {
		t.Errorf("seeds 7 and 8 make the same: %v", a)
	}
}
