package trace

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxStates is how many states are followed of a key. Many uploads of unknown outcome may
// have more; then nothing more is said of the key.
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
	c.settle(now)
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
	c.settle(now)
	delete(c.open, upload)
	return c.each(func(s state) (all []state) {
		if slices.Contains(s.waiting, upload) {
			all = append(all, s.without(upload))
		}
		return all
	})
}

// done keeps the states that applied an upload, which is called so, and reports whether
// there are any.
func (c *contents) done(upload int, text string, now time.Time) bool {
	is := c.number(text)
	c.settle(now)
	delete(c.open, upload)
	some := c.each(func(s state) (all []state) {
		from := []state{s}
		if slices.Contains(s.waiting, upload) {
			from = c.after(s, upload, now)
		}
		return c.named(from, upload, is)
	})
	if is != absent {
		c.names[is].upload = upload
	}
	return some
}

// holds keeps the states that held what is called so at some time since, or hold it
// if that is now, and reports whether there are any.
func (c *contents) holds(text string, since, now time.Time) bool {
	is := c.number(text)
	c.settle(now)
	return c.each(func(s state) []state { return c.holding(s, is, since, now) })
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
			all = append(all, c.named([]state{s}, h.upload, is)...)
		}
	}
	for _, upload := range s.waiting {
		if c.mayBe(s, upload, is) {
			all = append(all, c.named(c.after(s, upload, now), upload, is)...)
		}
	}
	return all
}

// settle decides of the uploads whose time is over: each was applied within it, or never
// will be. All others wait until it matters.
func (c *contents) settle(now time.Time) {
	for upload, until := c.firstOver(now); upload > 0; upload, until = c.firstOver(now) {
		c.each(func(s state) []state {
			if !slices.Contains(s.waiting, upload) {
				return []state{s}
			}
			return append(c.after(s, upload, until), s.without(upload))
		})
		delete(c.open, upload)
	}
	for i := range c.states {
		c.states[i] = c.trimmed(c.states[i])
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

// each replaces each state by what follows from it, and reports whether that is any. If
// not, what was stays to be told.
func (c *contents) each(follows func(state) []state) bool {
	next := c.collect()
	for _, s := range c.states {
		all := follows(s)
		if len(c.states) == 1 && len(all) == 1 { // as nearly always
			c.states = []state{c.trimmed(all[0])}
			return true
		}
		for _, after := range all {
			next.add(c.trimmed(after))
		}
		if len(next.all) > maxStates {
			c.lost, c.states = true, nil
		}
	}
	if len(next.all) == 0 || c.lost {
		return c.lost
	}
	c.states = next.all
	return true
}
