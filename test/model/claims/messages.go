package claims

// messages are what a node says of its callers and is told, on the way.
func (c *Config) messages(s *state, n Node, yield yield) {
	p := s.nodes[n]
	if p.mode != crashed {
		c.stray(s, n, yield)
		c.reported(s, n, yield)
	}
	if p.mode != running {
		return
	}
	c.notice(s, n, yield)
	switch p.ask.travel {
	case asked:
		if o := p.ask.to; s.hears(c, o, n) {
			next := *s
			next.hear(o, n)
			yield(must, event{kind: evAsk, n: n, m: o}, next, "")
		}
	case answered:
		next := *s
		c.take(&next, n, p.ask.answer)
		yield(must, event{kind: evAnswer, n: n, t: p.ask.answer.claim, alt: p.ask.answer.built || p.ask.answer.elsewhere}, next, "")
		if s.lost > 0 {
			next := *s
			next.lost--
			next.nodes[n].ask = question{}
			c.restate(&next, n, p.attached)
			yield(may, event{kind: evLost, n: n}, next, "")
		}
	case unasked, standing:
	}
	if p.late.claim != 0 {
		next := *s
		next.nodes[n].late = answer{}
		c.granted(&next, n, p.late.claim)
		yield(may, event{kind: evLate, n: n, t: p.late.claim}, next, "")
	}
}

// notice is a node that sees that a caller is not there any more.
func (c *Config) notice(s *state, n Node, yield yield) {
	for x := range uint8(maxCallers) {
		if p := &s.nodes[n]; p.attached[x] == 0 || s.callers[x].at == n || p.leaving != staying {
			continue
		}
		next := *s
		p := &next.nodes[n]
		before := p.attached
		p.attached[x] = 0
		c.broke(p, &next, x)
		c.restate(&next, n, before)
		yield(must, event{kind: evNotice, n: n, x: x}, next, "")
	}
}

// restate asks the owner anew, with the names of who is attached now. before are
// those of the last question.
func (c *Config) restate(s *state, n Node, before names) {
	p := &s.nodes[n]
	switch p.ask.travel {
	case asked:
		if before != (names{}) && s.strays > 0 {
			s.strays--
			p.stray = words{to: p.ask.to, num: p.num, names: before, moved: p.leaving != staying}
		}
	case standing:
		s.nodes[p.ask.to].said[n].open = false
	case answered:
		if t := p.ask.answer.claim; t != 0 && !p.ask.answer.elsewhere && (p.attached[s.claims[t].holder] == waiter || c.TakeAfterBreak) {
			p.late = p.ask.answer
		}
	case unasked:
	}
	p.num++
	p.ask = question{}
	owner := p.view.owner()
	if owner == Nobody || before == (names{}) && p.attached == (names{}) {
		return
	}
	p.ask = question{travel: asked, to: owner}
	if owner == n {
		s.hear(n, n)
	}
}

// hears reports whether the owner takes a question of n. Who is not the owner
// answers 421, and n asks again.
func (s *state) hears(c *Config, o, n Node) bool {
	p := &s.nodes[o]
	return p.mode == running && (p.owns(o) || c.KeepForeign && p.view.has(o)) && p.view.has(n)
}

// owns reports whether n is the owner in its own view.
func (p *node) owns(n Node) bool { return p.view.owner() == n }

// hear is an owner hearing the latest question of n.
func (s *state) hear(o, n Node) {
	p := &s.nodes[n]
	s.nodes[o].told(n, words{num: p.num, names: p.attached, moved: p.leaving != staying})
	if p.ask.travel = standing; p.attached == (names{}) {
		p.ask = question{}
	}
	s.nodes[o].said[n].open = p.ask.travel == standing
}

// told takes in whom a node names.
func (p *node) told(n Node, w words) {
	for x, is := range w.names {
		if is == waiter && p.said[n].names[x] != waiter {
			p.seen &^= 1 << x
			p.look.came &^= 1 << x
		}
		if p.said[n].names[x] > waiter && is != p.said[n].names[x] {
			p.look.stale = p.look.on
		}
	}
	p.said[n] = said{num: w.num, names: w.names, moved: w.moved, open: p.said[n].open && w.num == p.said[n].num}
}

// stray is the arrival of an earlier question.
func (c *Config) stray(s *state, n Node, yield yield) {
	w := s.nodes[n].stray
	if w.to == Nobody {
		return
	}
	next := *s
	next.nodes[n].stray = words{}
	if s.hears(c, w.to, n) && (w.num > s.nodes[w.to].said[n].num || c.Unnumbered) {
		next.nodes[w.to].told(n, w)
	}
	yield(may, event{kind: evStray, n: n, m: w.to}, next, "")
}

// reported is the arrival of a member's answer to who is attached there.
func (c *Config) reported(s *state, n Node, yield yield) {
	w := s.nodes[n].report
	if w.to == Nobody || s.nodes[w.to].mode != running {
		return
	}
	next := *s
	next.nodes[n].report = words{}
	o := &next.nodes[w.to]
	o.asking &^= n.bit()
	if w.num >= o.said[n].num || c.UnnumberedReport {
		o.told(n, w)
	}
	yield(must, event{kind: evReported, n: n, m: w.to}, next, "")
}

// take is the arrival of the answer to the latest question.
func (c *Config) take(s *state, n Node, a answer) {
	p := &s.nodes[n]
	p.ask = question{}
	before := p.attached
	switch {
	case a.elsewhere:
		p.attached[s.claims[a.claim].holder] = 0
		c.restate(s, n, before)
		return
	case !a.built:
		c.granted(s, n, a.claim)
		return
	}
	for x := range s.callers {
		if q := &s.callers[x]; before[x] == waiter && (q.at != n || q.stage != waiting || s.s3.good) {
			p.attached[x] = 0
			if q.at == n && q.stage == waiting {
				q.stage = over
			}
		}
	}
	c.restate(s, n, before)
}

// granted is the arrival of a grant.
func (c *Config) granted(s *state, n Node, t uint8) {
	p, x := &s.nodes[n], s.claims[t].holder
	before := p.attached
	if t != 0 && p.attached[x] == waiter {
		p.attached[x] = builder(t)
		if q := &s.callers[x]; q.at == n && q.stage == waiting {
			s.begin(x, t)
		}
	}
	c.restate(s, n, before)
}
