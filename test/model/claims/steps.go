package claims

import (
	"fmt"

	"larder/test/model/explore"
)

// will is whether a step comes about.
type will uint8

const (
	must will = iota // sooner or later, without anybody's doing
	pace             // when a builder is ready for it
	may              // or never
)

// yield takes one possible step, see explore.Yield.
type yield func(w will, e event, next state, why string)

// Explore visits every state that can be reached.
func Explore(c Config) explore.Result {
	return explore.Model[state, event]{Start: start(&c), Steps: c.steps, Broken: broken}.Run()
}

// steps yields everything that can happen next, always in the same order, and if
// nobody's pace and no accident is waited for, who was left waiting.
func (c *Config) steps(s *state, out explore.Yield[state, event]) {
	prompt, ready := false, false
	yield := func(w will, e event, next state, why string) {
		if c.tidy(&next); next == *s && why == "" {
			return
		}
		prompt, ready = prompt || w == must, ready || w == pace
		out(e, next, why)
	}
	for x := range uint8(maxCallers) {
		c.caller(s, x, yield)
	}
	for n := A; n <= C; n++ {
		c.messages(s, n, yield)
		c.own(s, n, yield)
		c.writes(s, n, yield)
		c.fate(s, n, yield)
	}
	c.store(s, yield)
	for x, p := range s.callers {
		switch {
		case p.stage != waiting || prompt:
		case s.known && s.s3.good:
			out(event{kind: evQuiet}, *s, fmt.Sprintf("%s waits, though the value is there and its write has ended", name(uint8(x))))
		case !ready:
			out(event{kind: evQuiet}, *s, fmt.Sprintf("%s waits, though nobody builds", name(uint8(x))))
		}
	}
}

// broken says which promise is broken in a state, if any.
func broken(s *state) string {
	if s.builds > s.allowed {
		return fmt.Sprintf("%d builds have begun, and what was lost allows %d", s.builds, s.allowed)
	}
	return ""
}
