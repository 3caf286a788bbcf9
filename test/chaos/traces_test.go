package chaos

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larder/heads"
	"larder/test/trace"
)

// told is how many of a key's events are told before one that breaks a rule.
const told = 60

// checkTraces holds what the nodes traced of each key to the rules of the protocol.
func (r *running) checkTraces(t *testing.T) {
	t.Helper()
	events, names, err := r.cluster.traced()
	if err != nil {
		t.Fatal(err)
	}
	began := trace.At(trace.NewClock().Of(r.history.Began))
	p := trace.Protocol{Lease: lease, Revalidate: revalidate, Agreed: func(at time.Time) bool {
		ns := int64(at.Sub(began))
		return !slices.ContainsFunc(r.windows, func(w window) bool { return w.from <= ns && ns <= w.to })
	}}
	givenUp := 0
	for _, key := range slices.Concat(r.keys, r.built) {
		b, followed := trace.Check(p, key, events)
		if !followed {
			givenUp++
		}
		if b == nil {
			continue
		}
		var story []string
		for i := range events {
			if e := &events[i]; !e.At.After(b.Event.At) && (e.Key.Name == key || e.Key.Name == "") {
				story = append(story, e.Line(began, names))
			}
		}
		t.Errorf("%v\n%s", b, strings.Join(story[max(0, len(story)-told):], "\n"))
	}
	t.Logf("%d events; the traces of %d keys were given up", len(events), givenUp)
}

// traced is what all nodes traced, in order, with the names of their starts by their IDs.
func (c *cluster) traced() (all []trace.Event, names map[string]string, err error) {
	names = map[string]string{}
	clock := trace.NewClock()
	for _, n := range c.nodes {
		if n.Pid() == 0 { // it was never started
			continue
		}
		events, err := trace.Read(n.traces)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: is the node built with -tags trace?", err)
		}
		starts := 0
		for _, e := range events {
			if names[e.Node] == "" {
				starts++
				names[e.Node] = fmt.Sprintf("%s.%d", n.Name, starts)
			}
		}
		for _, end := range n.ends {
			all = append(all, endOf(events, trace.At(clock.Of(end))))
		}
		all = append(all, events...)
	}
	slices.SortStableFunc(all, func(a, b trace.Event) int { return a.At.Compare(b.At) })
	return all, names, nil
}

// endOf is the end of a start, which is the one that traced last before it.
func endOf(events []trace.Event, at time.Time) trace.Event {
	end := trace.Event{At: at, Event: heads.Event{Kind: trace.Ended}}
	for _, e := range events {
		if e.At.After(at) {
			break
		}
		end.Node = e.Node
	}
	return end
}
