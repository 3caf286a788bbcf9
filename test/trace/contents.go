package trace

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxStates is how many states are followed of a key. Many uploads under way at once, or
// of unknown outcome, may be applied in any order, and have more; then nothing more is
// said of the key.
const maxStates = 1000

// contents are the states in which the store may be, as far as one key goes.
type contents struct {
	states  []state
	open    map[int]time.Time // uploads that may yet be applied, and until when; zero is without end
	names   []name
	numbers map[string]int // of the names
	marked  int            // the last upload
	oldest  time.Time      // what the store held only before is of no interest to what follows
	lost    bool           // there were too many
}

// name is what the outcome of an upload is called. Each write has a name of its own, but
// for those that remove.
type name struct {
	text   string
	upload int // whose it is; 0 if it has not been said
	marked int // the last upload when it was seen first: it is of none that came later
}

// These are the first names.
const (
	unnamed = iota
	absent
)

func newContents() *contents {
	return &contents{
		states:  []state{{held: []content{{name: absent}}}},
		open:    map[int]time.Time{},
		names:   []name{unnamed: {}, absent: {text: "absent"}},
		numbers: map[string]int{"absent": absent},
	}
}

// String is the states for a person.
func (c *contents) String() string {
	var all []string
	for _, s := range c.states {
		var held []string
		for _, h := range s.held {
			held = append(held, fmt.Sprintf("%d %s", h.upload, c.names[h.name].text))
		}
		all = append(all, fmt.Sprintf("it held %s, and %d may follow", strings.Join(held, ", then "), s.waiting))
	}
	return strings.Join(all, "; or ")
}

// number is the number of a name.
func (c *contents) number(text string) int {
	n, known := c.numbers[text]
	if !known {
		n = len(c.names)
		c.numbers[text], c.names = n, append(c.names, name{text: text, marked: c.marked})
	}
	return n
}

// mark adds an upload that may be applied from now on. Its number is higher than those
// before.
func (c *contents) mark(upload int, now time.Time) {
	c.set(c.reachable(now))
	c.marked, c.open[upload] = upload, time.Time{}
	for i := range c.states {
		s := &c.states[i]
		s.waiting = append(slices.Clone(s.waiting), upload)
	}
}

// leave says that an upload may be applied until then, and that nothing more will be
// heard of it.
func (c *contents) leave(upload int, until time.Time) { c.open[upload] = until }

// undone keeps the states that did not apply an upload, and reports whether there are any.
func (c *contents) undone(upload int, now time.Time) bool {
	from := c.reachable(now)
	delete(c.open, upload)
	return c.filter(from, func(s state) (state, bool) { return s.without(upload), slices.Contains(s.waiting, upload) })
}

// done keeps the states that applied an upload, which is called so, and reports whether
// there are any.
func (c *contents) done(upload int, text string, now time.Time) bool {
	is, from := c.number(text), c.reachable(now)
	delete(c.open, upload)
	some := c.filter(from, func(s state) (state, bool) {
		if slices.Contains(s.waiting, upload) {
			return s, false
		}
		return c.named(s, upload, is)
	})
	if is != absent {
		c.names[is].upload = upload
	}
	return some
}

// filter keeps what is kept of some states, and reports whether that is any.
func (c *contents) filter(from []state, keep func(state) (state, bool)) bool {
	var all []state
	for _, s := range from {
		if next, ok := keep(s); ok {
			all = append(all, next)
		}
	}
	return c.set(all)
}

// holds keeps the states that held what is called so at some time since, or hold it
// if that is now, and reports whether there are any.
func (c *contents) holds(text string, since, now time.Time) bool {
	var all []state
	is := c.number(text)
	for _, s := range c.reachable(now) {
		all = append(all, c.holding(s, is, since, now)...)
	}
	return c.set(all)
}

// holding is a state, if it held what has this name, or else what it is if one of the
// uploads whose names are not known has it.
func (c *contents) holding(s state, is int, since, now time.Time) (all []state) {
	for i, h := range s.held {
		switch {
		case i < len(s.held)-1 && (since.Equal(now) || h.to.Before(since)):
		case h.name == is:
			return []state{s}
		case h.name == unnamed:
			if next, ok := c.named(s, h.upload, is); ok {
				all = append(all, next)
			}
		}
	}
	return all
}

// set replaces the states, each once. If there are none, what was stays to be told.
func (c *contents) set(all []state) bool {
	switch {
	case c.lost:
		return true
	case len(all) == 0:
		return false
	case len(all) == 1:
		c.states = all
		return true
	}
	next := c.collect()
	for _, s := range all {
		next.add(s)
	}
	c.states = next.all
	return true
}

// reachable are the states in which the store may be now. An upload whose time is over
// was applied within it, or never will be.
func (c *contents) reachable(now time.Time) []state {
	for {
		upload, until := c.firstOver(now)
		if upload == 0 {
			return c.applied(now)
		}
		all := c.applied(until)
		delete(c.open, upload)
		for i := range all {
			all[i] = all[i].without(upload)
		}
		c.set(all)
	}
}

// firstOver is the upload whose time was over first, if any is, and when that was.
func (c *contents) firstOver(now time.Time) (first int, at time.Time) {
	for upload, until := range c.open {
		if !until.IsZero() && now.After(until) && (first == 0 || until.Before(at)) {
			first, at = upload, until
		}
	}
	return first, at
}

// applied are the states after any of the uploads that wait, in any order, were applied by
// then.
func (c *contents) applied(at time.Time) []state {
	if len(c.open) == 0 {
		for i := range c.states {
			c.states[i] = c.trimmed(c.states[i])
		}
		return c.states
	}
	to := c.collect()
	for _, s := range c.states {
		to.add(c.trimmed(s))
	}
	for len(to.changed) > 0 {
		if len(to.all) > maxStates {
			c.lost, c.states = true, nil
			return nil
		}
		s := to.all[to.changed[0]]
		to.changed = to.changed[1:]
		for _, upload := range s.waiting {
			to.add(c.trimmed(s.apply(upload, at)))
		}
	}
	return to.all
}
