package simulation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"larder/heads"
	"larder/test/history"
	"larder/test/trace"
)

// endLimit is how long what a node has begun may go on after its end, such as a
// large write.
const endLimit = 5 * time.Minute

// callers is the ID of the first caller; clients have those below.
const callers = 100

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
		b := &caller{client: client{world: w, slot: s, id: callers + i, rng: seeded(w.seed, fmt.Sprint("caller ", i))}}
		others.Go(func() { b.run(ctx) })
	}
	others.Go(func() { w.watch(ctx) })
	w.inflict(ctx)
	sleep(ctx, time.Until(w.history.Began.Add(lasts)))
	w.recover(ctx)
	cancel()
	others.Wait()
	time.Sleep(history.MostLife + time.Second) // what expires does so before the last reads, and not between two of them
	w.finish()
	for _, s := range w.slots {
		if n := s.node.Load(); n != nil {
			n.serving.Store(false)
			n.stop()
			<-n.stopped
			n.host.end(false)
			w.trace(n.cluster.Self().ID, heads.Event{Kind: trace.Ended})
		}
	}
	time.Sleep(endLimit) // by which all that the nodes began has ended
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
	w.fail("", "members do not agree a minute after the last fault")
}

// finish reads every key at every node.
func (w *world) finish() {
	all := slices.Clone(w.keys)
	for _, k := range w.builds {
		all = append(all, k.name)
	}
	for i, key := range all {
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
				w.fail(key, "when all was over:\n%s\n%s", truth, o)
			}
		}
	}
}
