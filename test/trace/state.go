package trace

import (
	"encoding/binary"
	"slices"
	"time"
)

// state is one in which the store may be. An upload is applied in it once something can
// only be explained so: until then it waits, and may be applied at any later moment.
type state struct {
	held    []content // what it held, in the order of their uploads, and last what it holds now
	past    []content // what it held before, as long as it matters what that is called
	waiting []int     // uploads that are not applied, in order
}

// content is an upload, or the first absence (0), and when it was replaced at the latest.
type content struct {
	upload, name int
	to           time.Time
}

// apply is the state after an upload was applied.
func (s state) apply(upload int, now time.Time) state {
	before, last := s.held[:len(s.held)-1], s.held[len(s.held)-1]
	last.to = now
	place, _ := slices.BinarySearchFunc(before, last.upload, func(h content, upload int) int { return h.upload - upload })
	s = s.without(upload)
	s.held = append(slices.Insert(slices.Clone(before), place, last), content{upload: upload})
	return s
}

// without is the state in which an upload will not be applied any more.
func (s state) without(upload int) state {
	if slices.Contains(s.waiting, upload) {
		s.waiting = slices.DeleteFunc(slices.Clone(s.waiting), func(u int) bool { return u == upload })
	}
	return s
}

// after are the states in which an upload was applied last, at a time, and any others of
// those that wait just before it: only what asked before that can have seen those.
func (c *contents) after(s state, upload int, at time.Time) []state {
	all := []state{s}
	for _, other := range s.waiting {
		if other == upload || at.Before(c.oldest) || len(all) > maxStates {
			continue
		}
		for _, before := range all {
			all = append(all, before.apply(other, at))
		}
	}
	for i := range all {
		all[i] = all[i].apply(upload, at)
	}
	return all
}

// mayBe reports whether an upload of a state may have a name.
func (c *contents) mayBe(s state, upload, is int) bool {
	n := c.names[is]
	if is != absent && (n.upload != 0 && n.upload != upload || upload > n.marked) {
		return false
	}
	for _, h := range slices.Concat(s.past, s.held) {
		if h.upload == upload && h.name != unnamed && h.name != is || h.upload != upload && h.name == is && is != absent {
			return false
		}
	}
	return true
}

// named are the states in which an upload is called so, of those in which it may be.
func (c *contents) named(from []state, upload, is int) (all []state) {
	for _, s := range from {
		if !c.mayBe(s, upload, is) {
			continue
		}
		if i := slices.IndexFunc(s.held, func(h content) bool { return h.upload == upload }); i >= 0 {
			s.held = slices.Clone(s.held)
			s.held[i].name = is
		} else if !slices.ContainsFunc(s.past, func(h content) bool { return h.upload == upload }) {
			s.past = append(slices.Clone(s.past), content{upload: upload, name: is})
		}
		all = append(all, s)
	}
	return all
}

// trimmed is a state without what no later question can have asked about.
func (c *contents) trimmed(s state) state {
	last := len(s.held) - 1
	over := func(h content) bool { return h.to.Before(c.oldest) }
	if slices.ContainsFunc(s.held[:last], over) {
		var held []content
		for _, h := range s.held[:last] {
			if over(h) {
				s.past = append(slices.Clip(s.past), h)
			} else {
				held = append(held, h)
			}
		}
		s.held = append(held, s.held[last])
	}
	if slices.ContainsFunc(s.past, func(h content) bool { return !c.matters(s, h) }) {
		s.past = slices.DeleteFunc(slices.Clone(s.past), func(h content) bool { return !c.matters(s, h) })
	}
	return s
}

// matters reports whether the name of what a state held before may yet contradict
// another: of the same upload, or the same one of another.
func (c *contents) matters(s state, past content) bool {
	until, open := c.open[past.upload]
	n := c.names[past.name]
	switch {
	case past.name == unnamed:
		return false
	case open && until.IsZero(): // its end will tell its name
		return true
	case past.name == absent, n.upload != 0:
		return false
	}
	for upload := range c.open {
		if upload <= n.marked {
			return true
		}
	}
	return slices.ContainsFunc(s.held, func(h content) bool { return h.name == unnamed && h.upload <= n.marked })
}

// collection is a set of states. Of two of which one explains all that the other does, it
// has that one.
type collection struct {
	*contents
	all    []state
	places map[string][]int
	key    []byte
}

func (c *contents) collect() *collection { return &collection{contents: c} }

// add adds a state.
func (c *collection) add(s state) {
	c.key = c.appendKey(c.key[:0], s)
	for _, i := range c.places[string(c.key)] {
		switch old := c.all[i]; {
		case old.covers(s):
			return
		case s.covers(old):
			c.all[i] = s
			return
		}
	}
	if c.places == nil {
		c.places = map[string][]int{}
	}
	c.places[string(c.key)] = append(c.places[string(c.key)], len(c.all))
	c.all = append(c.all, s)
}

// appendKey appends what tells states apart, but for when contents were replaced, and
// which uploads wait of which nothing more will be heard.
func (c *collection) appendKey(b []byte, s state) []byte {
	for _, part := range [][]content{s.held, s.past} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		for _, h := range part {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(h.upload)), uint64(h.name))
		}
	}
	for _, upload := range s.waiting {
		if c.open[upload].IsZero() {
			b = binary.AppendUvarint(b, uint64(upload))
		}
	}
	return b
}

// covers reports whether a state of the same key explains all that another does: an
// upload of which nothing more is heard may wait without end, and be seen by nobody.
func (s state) covers(other state) bool {
	for i, h := range other.held {
		if h.to.After(s.held[i].to) {
			return false
		}
	}
	for _, upload := range other.waiting {
		if !slices.Contains(s.waiting, upload) {
			return false
		}
	}
	return true
}
