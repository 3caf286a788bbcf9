package simulation

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/heads"
	"larder/test/history"
	"larder/test/trace"
)

const gossipPort = ":7000"

// world is one simulated cluster.
type world struct {
	plan
	network *network
	bucket  *bucket
	history *history.History
	slots   []*slot
	started []*node           // all that ever were
	names   map[string]string // of their IDs
	verbose bool

	suffering atomic.Int32 // faults that are under way
	suffered  atomic.Int64 // since the history began: when the last one was over

	mu       sync.Mutex // guards all below
	failures []string
	concerns map[string]bool // the keys of the failures
	story    bytes.Buffer    // what happened, and what the nodes said of it
	events   []trace.Event   // with room for all, since they are large
	apart    []window        // when members disagreed
	open     int64           // since when they do; 0 if they do not
	ended    bool            // and whether one of them has ended since
	changed  time.Time       // when a ring changed last
	spans    []history.Span  // of claims of keys that only their holders write
	dropped  []history.Span  // from the end of a stream until its holder heard that it has no claim
	refusals []history.Refusal
	givenUp  int // keys whose trace was too much for the checker
	// disturbances are when nodes were away, or cut off from each other.
	disturbances []window
}

// slot is a name and an address, and the node that has them now.
type slot struct {
	index      int
	name, addr string
	starts     int
	node       atomic.Pointer[node]
}

// window is a time in which a read may be old, in the history's nanoseconds.
type window struct{ from, to int64 }

func newWorld(p plan, verbose bool) *world {
	w := &world{plan: p, network: newNetwork(p.seed), bucket: newBucket(), history: history.New(), verbose: verbose, concerns: map[string]bool{}, names: map[string]string{}, events: make([]trace.Event, 0, 64<<10)}
	for i := range p.nodes + p.spare {
		w.slots = append(w.slots, &slot{index: i, name: fmt.Sprint("node-", i+1), addr: fmt.Sprintf("10.0.0.%d", i+1)})
	}
	return w
}

// join are the addresses under which the others are found.
func (w *world) join(s *slot) (join []string) {
	for _, other := range w.slots[:w.nodes] {
		if other != s {
			join = append(join, other.addr+gossipPort)
		}
	}
	return join
}

// start starts the node of a slot, and waits for nothing.
func (w *world) start(s *slot) *node {
	s.starts++
	n, err := newNode(w, s)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	w.started = append(w.started, n)
	w.names[n.cluster.Self().ID] = fmt.Sprintf("%s.%d", s.name, s.starts)
	w.mu.Unlock()
	n.run()
	s.node.Store(n)
	return n
}

// welcome waits until a node is ready.
func (w *world) welcome(s *slot) {
	if n := s.node.Load(); !n.ready() {
		w.fail("", "%s is not ready after %s", s.name, readyLimit)
	}
	w.look()
}

// tell notes something in the story.
func (w *world) tell(format string, args ...any) {
	at := w.history.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.story, "%10.4f %s\n", time.Duration(at).Seconds(), fmt.Sprintf(format, args...))
}

// fail notes a failure where it happens, of a key if that is not empty.
func (w *world) fail(key, format string, args ...any) {
	w.tell("FAILED: "+format, args...)
	w.blame(key, format, args...)
}

// blame is fail once all is over.
func (w *world) blame(key, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
	if key != "" {
		w.concerns[key] = true
	}
}

// trace takes in an event of a node.
func (w *world) trace(id string, e heads.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, trace.Event{At: time.Now(), Node: id, Event: e})
}

// log is where a node logs.
func (w *world) log(name string) zerolog.Logger {
	return zerolog.New(logWriter{w, name}).Level(level(w.verbose))
}

type logWriter struct {
	*world
	name string
}

// Write takes one line.
func (l logWriter) Write(line []byte) (int, error) {
	l.tell("%s: %s", l.name, bytes.TrimSpace(line))
	return len(line), nil
}

// serving are the nodes that serve.
func (w *world) serving() (all []*node) {
	for _, s := range w.slots {
		if n := s.node.Load(); n != nil && n.serving.Load() {
			all = append(all, n)
		}
	}
	return all
}

// agree reports whether each node that serves knows all others that do, and
// whether all have settled.
func (w *world) agree() (known, settled bool) {
	all := w.serving()
	known, settled = true, true
	for _, n := range all {
		ids := map[string]bool{}
		for _, m := range n.cluster.Members() {
			ids[m.ID] = true
		}
		for _, other := range all {
			known = known && ids[other.cluster.Self().ID]
		}
		settled = settled && n.heads.Settled()
	}
	return known, settled
}

// look takes in whether members agree. From when they do not, until they do
// again and have settled, and for a lease after that, reads may be old. Who
// disagreed and ended before it was met again never settles: what it wrote is
// seen when heads are looked at anew.
func (w *world) look() {
	known, settled := w.agree()
	now := w.history.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = time.Now()
	switch {
	case w.open == 0 && !known:
		w.open, w.ended = now, false
		fmt.Fprintf(&w.story, "%10.4f members disagree\n", time.Duration(now).Seconds())
	case w.open != 0 && known && settled:
		fmt.Fprintf(&w.story, "%10.4f members agree\n", time.Duration(now).Seconds())
		tail := withDrift(lease)
		if w.ended {
			tail = withDrift(revalidate)
		}
		w.apart = append(w.apart, window{w.open, now + int64(tail)})
		w.open = 0
	}
}

func withDrift(d time.Duration) time.Duration { return d + d/100 + 10*time.Millisecond }

// ending notes that a node ends.
func (w *world) ending() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// doneLate takes in that S3 has done a write after its answer. If the key may
// have another owner by now, that one may trust what was there before.
func (w *world) doneLate(asked time.Time) {
	now := w.history.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.story, "%10.4f S3 does what it was asked %s ago\n", time.Duration(now).Seconds(), time.Since(asked))
	if !w.changed.Before(asked) {
		w.apart = append(w.apart, window{now, now + int64(withDrift(revalidate))})
	}
}

// watch looks at the members again while they disagree, until ctx ends.
func (w *world) watch(ctx context.Context) {
	for sleep(ctx, 100*time.Millisecond) {
		w.mu.Lock()
		open := w.open != 0
		w.mu.Unlock()
		if open {
			w.look()
		}
	}
}

// relaxed reports whether members may have disagreed in a time.
func (w *world) relaxed(from, to int64) bool {
	return slices.ContainsFunc(w.apart, func(a window) bool { return from <= a.to && to >= a.from })
}

var _ cluster.Network = (*host)(nil)
