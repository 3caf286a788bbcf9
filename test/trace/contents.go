package trace

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// forget is how long what the store held before is of interest: longer than any
// question whose answer is kept.
const forget = time.Minute

// maxStates is how many states are followed of a key. Many uploads of unknown outcome at
// once may be applied in any order, and have more; then nothing more is said of the key.
const maxStates = 1000

// contents are the states in which the store may be, as far as one key goes.
type contents struct {
	states []state
	open   map[int]time.Time // uploads that may yet be applied, and until when; zero is without end
	lost   bool              // there were too many
}

// state is one of them.
type state struct {
	held    []content      // what it held, the last now
	waiting []int          // uploads that are not applied, in order
	names   map[int]string // of the uploads that are known
}

// content is an upload, or absence (0), and when it was replaced at the latest.
type content struct {
	upload int
	to     time.Time
}

func newContents() *contents {
	return &contents{
		states: []state{{held: []content{{}}, names: map[int]string{0: "absent"}}},
		open:   map[int]time.Time{},
	}
}

// String is the states for a person.
func (c *contents) String() string {
	var all []string
	for _, s := range c.states {
		var held []string
		for _, h := range s.held {
			held = append(held, fmt.Sprintf("%d %s", h.upload, s.names[h.upload]))
		}
		all = append(all, fmt.Sprintf("it held %s, and %d may follow", strings.Join(held, ", then "), s.waiting))
	}
	return strings.Join(all, "; or ")
}

// merged is a state for two that differ in nothing but when contents were replaced.
func (s state) merged(other state) state {
	s.held = slices.Clone(s.held)
	for i, h := range other.held {
		if h.to.After(s.held[i].to) {
			s.held[i].to = h.to
		}
	}
	return s
}

// appendKey appends what tells states apart, but for when contents were replaced.
func (s state) appendKey(b []byte) []byte {
	for _, h := range s.held {
		b = append(strconv.AppendInt(b, int64(h.upload), 10), ' ')
		b = append(append(b, s.names[h.upload]...), ' ')
	}
	for _, upload := range s.waiting {
		b = append(strconv.AppendInt(b, int64(upload), 10), '?')
	}
	return b
}

// mark adds an upload that may be applied from now on.
func (c *contents) mark(upload int) {
	c.open[upload] = time.Time{}
	for i := range c.states {
		s := &c.states[i]
		s.waiting = append(slices.Clone(s.waiting), upload)
	}
}

// leave says that an upload may be applied until then.
func (c *contents) leave(upload int, until time.Time) { c.open[upload] = until }

// undone keeps the states that did not apply an upload, and reports whether there are any.
func (c *contents) undone(upload int, now time.Time) bool {
	return c.filter(now, func(s state) (state, bool) { return s.without(upload), slices.Contains(s.waiting, upload) })
}

// done keeps the states that applied an upload, which is called so.
func (c *contents) done(upload int, name string, now time.Time) bool {
	delete(c.open, upload)
	return c.filter(now, func(s state) (state, bool) {
		if slices.Contains(s.waiting, upload) {
			return s, false
		}
		return s.named(upload, name)
	})
}

// holds keeps the states that held what is called so at some time since, or hold it
// if that is now, and reports whether there are any.
func (c *contents) holds(name string, since, now time.Time) bool {
	var all []state
	from := c.reachable(now)
	if c.lost {
		return true
	}
	for _, s := range from {
		for i, h := range s.held {
			if i < len(s.held)-1 && (since.Equal(now) || h.to.Before(since)) {
				continue
			}
			if next, ok := s.named(h.upload, name); ok {
				all = append(all, next)
			}
		}
	}
	return c.set(all)
}

func (c *contents) filter(now time.Time, keep func(state) (state, bool)) bool {
	var all []state
	from := c.reachable(now)
	if c.lost {
		return true
	}
	for _, s := range from {
		if next, ok := keep(s); ok {
			all = append(all, next)
		}
	}
	return c.set(all)
}

// set replaces the states, each once. If there are none, what was stays to be told.
func (c *contents) set(all []state) bool {
	if len(all) == 0 {
		return false
	}
	if len(all) == 1 {
		c.states = all
		return true
	}
	c.states = nil
	seen, b := map[string]int{}, []byte(nil)
	for _, s := range all {
		b = s.appendKey(b[:0])
		if i, known := seen[string(b)]; known {
			c.states[i] = c.states[i].merged(s)
			continue
		}
		seen[string(b)] = len(c.states)
		c.states = append(c.states, s)
	}
	return true
}

// reachable are the states in which the store may be now. An upload whose time is over
// was applied within it, or never will be.
func (c *contents) reachable(now time.Time) []state {
	var all []state
	for _, s := range c.states {
		all = append(all, s.forgetting(now))
	}
	for i := 0; i < len(all); i++ { // it grows meanwhile
		if len(all) > maxStates {
			c.lost, c.states = true, nil
		}
		if c.lost {
			return nil
		}
		for _, upload := range all[i].waiting {
			at := now
			if c.isOver(upload, now) {
				at = c.open[upload]
			}
			all = append(all, all[i].apply(upload, at))
		}
	}
	for i := range all {
		for _, upload := range all[i].waiting {
			if c.isOver(upload, now) {
				all[i] = all[i].without(upload)
			}
		}
	}
	return all
}

// isOver reports whether the time is over in which an upload may be applied.
func (c *contents) isOver(upload int, now time.Time) bool {
	until := c.open[upload]
	return !until.IsZero() && now.After(until)
}

// forgetting is a state without what it held long ago.
func (s state) forgetting(now time.Time) state {
	if len(s.held) == 1 || now.Sub(s.held[0].to) <= forget {
		return s
	}
	s.names = maps.Clone(s.names)
	for len(s.held) > 1 && now.Sub(s.held[0].to) > forget {
		if s.held[0].upload > 0 {
			delete(s.names, s.held[0].upload)
		}
		s.held = s.held[1:]
	}
	return s
}

// apply is the state after an upload was applied.
func (s state) apply(upload int, now time.Time) state {
	s = s.without(upload)
	s.held = slices.Clone(s.held)
	s.held[len(s.held)-1].to = now
	s.held = append(s.held, content{upload: upload})
	return s
}

// without is the state in which an upload will not be applied any more.
func (s state) without(upload int) state {
	s.waiting = slices.DeleteFunc(slices.Clone(s.waiting), func(u int) bool { return u == upload })
	return s
}

// named is the state in which an upload is called so, if it may be.
func (s state) named(upload int, name string) (state, bool) {
	if known, ok := s.names[upload]; ok {
		return s, known == name
	}
	for other, known := range s.names {
		if known == name && name != "absent" && other != upload {
			return s, false // each write has a name of its own
		}
	}
	s.names = maps.Clone(s.names)
	s.names[upload] = name
	return s, true
}
