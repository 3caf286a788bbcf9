package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"larder/heads"
	"larder/test/trace"
)

// inflict carries out the faults of the plan, each track by itself, each fault
// when it is due or when the one before is over.
func (w *world) inflict(ctx context.Context) {
	var all sync.WaitGroup
	for i := range tracks() {
		all.Go(func() {
			for _, f := range w.faults {
				if f.track == i && sleep(ctx, time.Until(w.history.Began.Add(f.at))) {
					w.tell("%s", f)
					since := w.history.Now()
					w.suffering.Add(1)
					w.suffer(ctx, f)
					w.suffered.Store(int64(time.Since(w.history.Began)))
					w.suffering.Add(-1)
					w.disturbing(f, since)
					w.tell("over: %s", f)
				}
			}
		})
	}
	all.Wait()
}

const (
	// calmAfter is how long after a fault little can come of it any more.
	calmAfter = revalidate + 2*lease
	// busyBefore is how long before a fault clients are busy again, so that it meets what
	// is under way and trusted.
	busyBefore = 2 * lease
	// calmRests is by how much clients rest longer while all is calm.
	calmRests = 6
)

// rest waits for a while, at most so long, and reports whether ctx goes on. While all is
// calm it is longer: what is to be found is found around faults.
func (w *world) rest(ctx context.Context, rng *rand.Rand, most time.Duration) bool {
	d := time.Duration(rng.Int64N(int64(most)))
	now := time.Since(w.history.Began)
	if w.suffering.Load() > 0 || now-time.Duration(w.suffered.Load()) < calmAfter {
		return sleep(ctx, d)
	}
	long := calmRests * d
	for _, f := range w.faults {
		if f.at > now {
			long = min(long, max(0, f.at-busyBefore-now)+d)
		}
	}
	return sleep(ctx, long)
}

// suffer carries out one fault.
func (w *world) suffer(ctx context.Context, f fault) {
	switch f.track {
	case 0:
		w.ofNode(ctx, f, w.slots[f.node])
	case 1:
		w.ofNetwork(ctx, f)
	default:
		w.bucket.trouble(trouble(f))
		sleep(ctx, f.lasts)
		w.bucket.trouble(troubled{})
	}
}

func trouble(f fault) troubled {
	t := troubled{share: f.share}
	switch f.kind {
	case s3Slow:
		t.slow = f.delay
	case s3Broken:
		t.broken = true
	case s3Lost:
		t.lost = true
	case s3Busy:
		t.busy = true
	case s3Gone:
		t.gone = true
	default:
		t.late = true
	}
	return t
}

func (w *world) ofNetwork(ctx context.Context, f fault) {
	from, to := []*slot{w.slots[f.node]}, []*slot{w.slots[f.peer]}
	do := func(l *link) { l.cut = true }
	switch f.kind {
	case reset:
		w.slots[f.node].node.Load().host.reset()
		return
	case loss:
		from, to, do = w.slots, w.slots, func(l *link) { l.loss = f.share }
	case stall:
		from, to, do = w.slots, w.slots, func(l *link) { l.stalled, l.stall = f.share, f.delay }
	case slow:
		do = func(l *link) { l.slower = f.delay }
	case apart:
		to = w.slots
	default:
	}
	for _, a := range from {
		for _, b := range to {
			w.network.change(a.addr, b.addr, do)
			if !f.oneWay {
				w.network.change(b.addr, a.addr, do)
			}
		}
	}
	sleep(ctx, f.lasts)
	w.network.heal()
}

func (w *world) ofNode(ctx context.Context, f fault, s *slot) {
	n := s.node.Load()
	switch f.kind {
	case kill, off:
		w.ending()
		n.crash(f.kind == off)
		w.trace(n.cluster.Self().ID, heads.Event{Kind: trace.Ended})
		w.look()
		sleep(ctx, f.lasts)
		w.start(s)
		w.welcome(s)
	case hiccup, pause:
		n.host.hold(true)
		sleep(ctx, f.lasts)
		n.host.hold(false)
	case roll:
		w.again(s)
	case rolls:
		var both sync.WaitGroup
		for _, s := range []*slot{s, w.slots[f.peer]} {
			both.Go(func() { w.again(s) })
		}
		both.Wait()
	default: // scale
		s := w.slots[w.nodes]
		n := w.start(s)
		w.welcome(s)
		sleep(ctx, f.lasts)
		w.leave(n)
	}
}

// again has a node leave, and start again.
func (w *world) again(s *slot) {
	w.leave(s.node.Load())
	w.start(s)
	w.welcome(s)
}

// leave is a graceful end of a node, which its clients leave first.
func (w *world) leave(n *node) {
	w.ending()
	n.serving.Store(false)
	w.look()
	n.leave()
	w.trace(n.cluster.Self().ID, heads.Event{Kind: trace.Ended})
}
