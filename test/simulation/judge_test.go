package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"larder/test/history"
	"larder/test/trace"
)

// tracesLine is what a seed's process prints of the keys whose traces were checked.
const tracesLine = "traces=%d given-up=%d\n"

// judge holds what clients were told, and what nodes traced, to what the protocol
// promises.
func judge(t *testing.T, w *world) {
	t.Helper()
	relaxed, all := 0, 0
	for key, ops := range w.history.ByKey() {
		for _, o := range ops {
			o.Lenient = w.relaxed(o.Call, o.Ret)
			if o.Lenient {
				relaxed++
			}
			all++
		}
		w.judgeAnswers(key, ops)
		w.judgeTrace(key)
	}
	w.judgeClaims()
	for _, n := range w.started {
		if broken := n.heads.Stats().Broken; broken > 0 {
			w.blame("", "%d invariants are broken at %s", broken, n.cluster.Self().Name)
		}
	}
	if *verbose || len(w.failures) > 0 {
		t.Logf("%s\n%s", w.plan, w.tale())
	}
	t.Logf("%d operations, %d while members may have disagreed; %d events", all, relaxed, len(w.events))
	fmt.Printf(tracesLine, len(w.history.ByKey()), w.givenUp)
	for _, f := range w.failures {
		t.Error(f)
	}
}

// judgeAnswers judges what clients were told of a key.
func (w *world) judgeAnswers(key string, ops []*history.Op) {
	var strict []*history.Op
	for _, o := range ops {
		if !o.Lenient || !o.Reads() || o.Fresh {
			strict = append(strict, o)
		}
	}
	for _, e := range history.Expired(ops) {
		w.blame(key, "%s: for %s it should not have been seen any more, since\n%s", e.Read, e.Age, e.By)
	}
	for _, st := range history.StaleReads(ops) {
		if bound := withDrift(revalidate) + time.Duration(st.Read.Ret-st.Read.Call); !st.Read.Lenient || st.Age > bound {
			w.blame(key, "%s: too old by %s:\n%s\nreplaced by\n%s", key, st.Age, st.Read, st.By)
		}
	}
	if v := history.Linearizable(strict); v.CheckResult != porcupine.Ok {
		w.blame(key, "%s: linearizable: %s", key, v.CheckResult)
	}
}

// judgeTrace judges what nodes traced of a key.
func (w *world) judgeTrace(key string) {
	agreed := func(at time.Time) bool {
		ns := int64(at.Sub(w.history.Began))
		return !w.relaxed(ns, ns)
	}
	b, followed := trace.Check(trace.Protocol{Lease: lease, Revalidate: revalidate, Agreed: agreed}, key, w.events)
	if !followed {
		w.givenUp++
	}
	if b != nil {
		w.blame(key, "%s %s", b.Event.Line(w.history.Began, w.names), b.Why)
	}
}

// tale is the story, with the operations and the events of the failures' keys among it.
func (w *world) tale() string {
	lines := strings.Split(strings.TrimSpace(w.story.String()), "\n")
	for _, o := range w.history.All() {
		if w.concerns[o.Key] {
			lines = append(lines, o.String())
		}
	}
	for i := range w.events {
		if e := &w.events[i]; w.concerns[e.Key.Name] {
			lines = append(lines, e.Line(w.history.Began, w.names))
		}
	}
	sortLines(lines)
	return strings.Join(lines, "\n")
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
