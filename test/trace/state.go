package trace

import (
	"encoding/binary"
	"slices"
	"time"
)

// state is one in which the store may be.
type state struct {
	held    []content // what it held, the last now
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
	s = s.without(upload)
	s.held = append(slices.Clone(s.held), content{upload: upload})
	s.held[len(s.held)-2].to = now
	return s
}

// without is the state in which an upload will not be applied any more.
func (s state) without(upload int) state {
	if slices.Contains(s.waiting, upload) {
		s.waiting = slices.DeleteFunc(slices.Clone(s.waiting), func(u int) bool { return u == upload })
	}
	return s
}

// named is the state in which an upload is called so, if it may be.
func (c *contents) named(s state, upload, is int) (state, bool) {
	held := -1
	for i, h := range s.held {
		if h.upload == upload {
			held = i
		}
	}
	for _, h := range slices.Concat(s.past, s.held) {
		switch {
		case h.upload == upload && h.name != unnamed:
			return s, h.name == is
		case h.name == is && is != absent:
			return s, false
		}
	}
	if n := c.names[is]; is != absent && (n.upload != 0 && n.upload != upload || upload > n.marked) {
		return s, false
	}
	if held < 0 {
		s.past = append(slices.Clone(s.past), content{upload: upload, name: is})
		return s, true
	}
	s.held = slices.Clone(s.held)
	s.held[held].name = is
	return s, true
}

// trimmed is a state without what no later question can have asked about.
func (c *contents) trimmed(s state) state {
	over := 0
	for over < len(s.held)-1 && s.held[over].to.Before(c.oldest) {
		over++
	}
	if over > 0 {
		s.past, s.held = slices.Concat(s.past, s.held[:over]), s.held[over:]
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
	all     []state
	changed []int // which of them are new
	places  map[string][]int
	key     []byte
}

func (c *contents) collect() *collection { return &collection{contents: c, places: map[string][]int{}} }

// add adds a state.
func (c *collection) add(s state) {
	c.key = c.appendKey(c.key[:0], s)
	for _, i := range c.places[string(c.key)] {
		switch old := c.all[i]; {
		case old.covers(s):
			return
		case s.covers(old):
			c.all[i], c.changed = s, append(c.changed, i)
			return
		case slices.Equal(old.waiting, s.waiting):
			c.all[i], c.changed = old.merged(s), append(c.changed, i)
			return
		}
	}
	i := len(c.all)
	c.places[string(c.key)] = append(c.places[string(c.key)], i)
	c.all, c.changed = append(c.all, s), append(c.changed, i)
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
