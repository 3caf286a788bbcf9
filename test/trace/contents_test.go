package trace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// step is one of what a store is asked, or said to have done.
type step struct {
	do         string
	upload     int
	name       string
	since, now int
}

// TestContents compares what the states say with every order in which the uploads of a
// short script may have been applied, none of them left out.
func TestContents(t *testing.T) {
	for seed := range uint64(1_000) {
		script := scriptOf(rand.New(rand.NewPCG(seed, 1)))
		if is, want := judged(script), enumerated(script); is != want {
			t.Fatalf("seed %d: step %d contradicts the others, not %d, of\n%v", seed, want, is, script)
		}
	}
}

// scriptOf makes up a script: three uploads at most, and few names, so that many are wrong.
func scriptOf(rng *rand.Rand) (script []step) {
	var running []int
	uploads := 0
	for now := range 5 + rng.IntN(8) {
		s := step{do: "holds", name: fmt.Sprint("v", 1+rng.IntN(3)), since: max(0, now-rng.IntN(4)), now: now}
		if rng.IntN(4) == 0 {
			s.name = "absent"
		}
		switch chance := rng.IntN(4); {
		case chance == 0 && uploads < 3:
			uploads++
			s.do, s.upload = "mark", uploads
			running = append(running, uploads)
		case chance == 1 && len(running) > 0:
			s.do, s.upload = []string{"done", "undone", "leave", "leave"}[rng.IntN(4)], running[0]
			s.since = now + rng.IntN(4) // until then it may be applied
			running = running[1:]
		}
		script = append(script, s)
	}
	return script
}

// judged is the first step that contents find wrong; the number of steps if none is.
func judged(script []step) int {
	c := newContents()
	for i, s := range script {
		oldest := s.now
		for _, later := range script[i:] {
			if later.do == "holds" {
				oldest = min(oldest, later.since)
			}
		}
		c.oldest = second(oldest)
		ok := true
		switch s.do {
		case "mark":
			c.mark(s.upload, second(s.now))
		case "leave":
			c.leave(s.upload, second(s.since))
		case "done":
			ok = c.done(s.upload, s.name, second(s.now))
		case "undone":
			ok = c.undone(s.upload, second(s.now))
		default:
			ok = c.holds(s.name, second(s.since), second(s.now))
		}
		if !ok {
			return i
		}
	}
	return len(script)
}

func second(n int) time.Time { return time.Unix(int64(n), 0) }

// course is one order of applications, with a name for each upload.
type course struct {
	held  []content // the times at which they were replaced
	names map[int]string
	gone  []int // uploads that will not be applied
}

// enumerated is judged by following every course by itself.
func enumerated(script []step) int {
	all := []course{{held: []content{{}}, names: map[int]string{0: "absent"}}}
	open := map[int]time.Time{} // zero is without end
	for i, s := range script {
		all = grown(all, open, second(s.now-1)) // after the last step
		all = grown(all, open, second(s.now))
		var next []course
		for _, c := range all {
			next = append(next, c.after(s)...)
		}
		switch s.do {
		case "mark":
			open[s.upload] = time.Time{}
		case "leave":
			open[s.upload] = second(s.since)
		case "done", "undone":
			delete(open, s.upload)
		}
		if all = next; len(all) == 0 {
			return i
		}
	}
	return len(script)
}

// grown are the courses, each with all that may have been applied by now. The steps are a
// second apart, and so is what they say.
func grown(all []course, open map[int]time.Time, now time.Time) []course {
	for i := 0; i < len(all); i++ { // it grows meanwhile
		for upload, until := range open {
			over := !until.IsZero() && now.After(until)
			if c := all[i]; !over && !c.applied(upload) && !slices.Contains(c.gone, upload) {
				held := append(slices.Clone(c.held), content{upload: upload})
				held[len(held)-2].to = now
				all = append(all, course{held, c.names, c.gone})
			}
		}
	}
	return all
}

func (c course) applied(upload int) bool {
	return slices.ContainsFunc(c.held, func(h content) bool { return h.upload == upload })
}

// after are the courses that agree with a step.
func (c course) after(s step) (all []course) {
	switch {
	case s.do == "done" && c.applied(s.upload):
		return c.called(s.upload, s.name)
	case s.do == "undone" && !c.applied(s.upload):
		return []course{{c.held, c.names, append(slices.Clone(c.gone), s.upload)}}
	case s.do == "mark", s.do == "leave":
		return []course{c}
	case s.do != "holds":
		return nil
	}
	for i, h := range c.held {
		if i == len(c.held)-1 || s.since < s.now && !h.to.Before(second(s.since)) {
			all = append(all, c.called(h.upload, s.name)...)
		}
	}
	return all
}

// called is the course in which an upload has a name, if that is not another's.
func (c course) called(upload int, name string) []course {
	for other, known := range c.names {
		if other == upload && known != name || other != upload && known == name && name != "absent" {
			return nil
		}
	}
	names := map[int]string{upload: name}
	for other, known := range c.names {
		names[other] = known
	}
	return []course{{c.held, names, c.gone}}
}
