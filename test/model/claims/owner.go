package claims

// own is what an owner does with the claims of the key.
func (c *Config) own(s *state, o Node, yield yield) {
	p := &s.nodes[o]
	if p.mode != running || !p.view.has(o) || !p.owns(o) && !c.KeepForeign {
		return
	}
	for m := A; m <= C; m++ {
		c.ask(s, o, m, yield)
		c.expire(s, o, m, yield)
	}
	if p.asking != 0 && !c.GrantUnasked {
		if s.slow > 0 {
			next := *s
			next.slow--
			next.allowed++
			next.nodes[o].asking = 0
			yield(may, event{kind: evEnough, n: o}, next, "")
		}
		return
	}
	c.passOn(s, o, yield)
	if p.live != 0 {
		for m := A; m <= C; m++ {
			c.answer(s, o, m, yield)
		}
	}
	switch {
	case p.look.on:
		c.looked(s, o, yield)
	case c.wantsLook(p) && !c.held(p):
		next := *s
		next.nodes[o].look = look{on: true, found: s.s3, came: p.waiters()}
		yield(must, event{kind: evLook, n: o, alt: s.s3.good}, next, "")
	}
}

// ask is a new owner asking m who is attached there, and m's answer, which is on its way.
func (c *Config) ask(s *state, o, m Node, yield yield) {
	q := &s.nodes[m]
	if !s.nodes[o].asking.has(m) || q.mode != running || q.report.to != Nobody {
		return
	}
	if q.view != s.nodes[o].view && (!c.AnswerInOtherRing || !q.view.has(o)) {
		return
	}
	next := *s
	c.askAnew(&next, m, c.TakeAfterReport)
	q = &next.nodes[m]
	q.report = words{to: o, num: q.num, moved: q.leaving != staying}
	if q.view.owner() == o {
		q.report.names = q.attached
	}
	yield(must, event{kind: evReport, n: o, m: m}, next, "")
}

// waiters are those whom a node names.
func (p *node) waiters() (all set) {
	for m := range p.said {
		for x, is := range p.said[m].names {
			if is == waiter {
				all.add(uint8(x))
			}
		}
	}
	return all
}

// named are the claims of which a node names a builder.
func (p *node) named() (all set) {
	for m := range p.said {
		for _, is := range p.said[m].names {
			if t := is.claim(); t != 0 {
				all.add(t)
			}
		}
	}
	return all
}

// speaks reports whether a node names x.
func (p *node) speaks(x uint8, but Node) bool {
	for m := A; m <= C; m++ {
		if m != but && p.said[m].names[x] != 0 {
			return true
		}
	}
	return false
}

// wantsLook reports whether the owner has to look at the key.
func (c *Config) wantsLook(p *node) bool {
	waiters := p.waiters()
	switch {
	case p.live == 0 || c.GrantBesideLive:
		return waiters&^p.seen != 0 || p.live == 0 && (waiters|p.named()&^p.ended) != 0
	case !p.looked:
		return true
	}
	return waiters&^p.seen != 0
}

// held reports whether a write of the key is marked, so that nothing is granted.
func (c *Config) held(p *node) bool {
	switch {
	case p.write.phase == 0:
		return false
	case p.write.kind == claimed:
		return !c.PassOnMarked
	}
	return !c.GrantUnderMark
}

// looked is the end of a look: the claim has ended, or one that a node named is taken
// over, or a waiter gets one.
func (c *Config) looked(s *state, o Node, yield yield) {
	next := *s
	p := &next.nodes[o]
	l := p.look
	p.look = look{}
	if l.dirty && !c.IgnoreWriteInLook || l.stale && !c.GrantOnOldLook || c.held(p) {
		yield(must, event{kind: evLookAgain, n: o}, next, "")
		return
	}
	p.looked = true
	p.seen |= l.came
	if t := p.live; t != 0 && s.claims[t].base != l.found.version {
		p.ended.add(t)
		p.live = 0
	}
	for t := uint8(1); t <= s.made; t++ {
		if !p.named().has(t) || p.ended.has(t) || p.live != 0 {
			continue
		}
		if s.claims[t].base == l.found.version {
			p.live = t
			break
		}
		p.ended.add(t)
	}
	switch {
	case l.found.good:
		c.wake(&next, o)
		yield(must, event{kind: evFound, n: o}, next, "")
		return
	case p.live != 0 && !c.GrantBesideLive:
		yield(must, event{kind: evKept, n: o, t: p.live}, next, "")
		return
	}
	c.grant(&next, o, l, yield)
}

// grant gives a claim to one of those who wait: to any, since nobody builds twice for
// another order.
func (c *Config) grant(s *state, o Node, l look, yield yield) {
	for x := range uint8(maxCallers) {
		if !s.nodes[o].waiters().has(x) || !l.came.has(x) && !c.GrantOnOldLook {
			continue
		}
		next := *s
		next.made++
		next.claims[next.made] = claim{holder: x, base: l.found.version}
		next.nodes[o].live = next.made
		if s.split() && s.built(o) {
			next.allowed++
		}
		why := ""
		switch {
		case s.nodes[o].write.kind == claimed:
			why = "the claim is passed on while its write is marked"
		case s.s3.version != l.found.version && s.known && s.settled() && !s.split():
			why = "a claim is granted over a base that is gone, though every write has ended"
		}
		yield(must, event{kind: evGrant, n: o, x: x, t: next.made}, next, why)
	}
	if s.nodes[o].waiters()&l.came == 0 {
		yield(must, event{kind: evLookAgain, n: o}, *s, "")
	}
}

// settled reports whether no write is under way, and every owner knows of those that were.
func (s *state) settled() bool {
	for n := A; n <= C; n++ {
		if s.nodes[n].write.phase != 0 || s.nodes[n].tell {
			return false
		}
	}
	return true
}

// split reports whether a node was taken for dead that lives, and has not been told:
// each side may build.
func (s *state) split() bool {
	for n := A; n <= C; n++ {
		if s.nodes[n].mode != crashed && s.nodes[n].absent != 0 {
			return true
		}
	}
	return false
}

// built reports whether somebody has built, or may be about to, of whom o need not know.
func (s *state) built(o Node) bool {
	for n := A; n <= C; n++ {
		if p := &s.nodes[n]; n != o && p.live != 0 || p.ask.answer.claim != 0 || p.late.claim != 0 {
			return true
		}
	}
	return s.builds > 0
}

// answer is the answer to a question that names the holder of the live claim: as a waiter,
// or as a builder whose stream the node has ended, and who is attached elsewhere.
func (c *Config) answer(s *state, o, m Node, yield yield) {
	t := s.nodes[o].live
	w, a := s.nodes[o].said[m], answer{claim: t}
	switch is := w.names[s.claims[t].holder]; {
	case !w.open || is == 0:
		return
	case is > waiter:
		if a.elsewhere = true; !w.moved || !c.elsewhere(&s.nodes[o], t, s.claims[t].holder, m) {
			return
		}
	}
	next := *s
	c.reply(&next, o, m, a)
	yield(must, event{kind: evReply, n: o, m: m, t: t, alt: a.elsewhere}, next, "")
}

// elsewhere reports whether another node than m, which does not leave, names the builder
// of a claim.
func (c *Config) elsewhere(p *node, t, x uint8, m Node) bool {
	for other := A; other <= C; other++ {
		if w := p.said[other]; other != m && w.names[x] == builder(t) && (!w.moved || c.LeavingElsewhere) {
			return true
		}
	}
	return false
}

func (c *Config) reply(s *state, o, m Node, a answer) {
	s.nodes[o].said[m].open = false
	q := &s.nodes[m].ask
	q.travel, q.answer = answered, a
	if m == o {
		c.take(s, m, a)
	}
}

// wake tells all waiters that the value is there. Those whose node has no question
// under way are told when it asks.
func (c *Config) wake(s *state, o Node) {
	p := &s.nodes[o]
	for m := A; m <= C; m++ {
		told := false
		for x, is := range p.said[m].names {
			if is == waiter {
				told = true
				p.said[m].names[x] = 0
			}
		}
		if told && p.said[m].open {
			c.reply(s, o, m, answer{built: true})
		}
	}
}

// passOn ends the claim of a builder for whom no node speaks any more.
func (c *Config) passOn(s *state, o Node, yield yield) {
	p := &s.nodes[o]
	t := p.live
	if t == 0 || c.HoldForGone || p.speaks(s.claims[t].holder, Nobody) {
		return
	}
	if p.write.phase != 0 && p.write.claim == t && !c.PassOnMarked {
		return
	}
	next := *s
	q := &next.nodes[o]
	q.passed.add(t)
	q.live, q.seen, q.look.stale = 0, 0, q.look.on
	yield(must, event{kind: evPassOn, n: o, x: s.claims[t].holder, t: t}, next, "")
}

// expire takes those for gone for whom m spoke, since m is gone, or silent for 3.5 s.
// Who is alive attaches elsewhere before that.
func (c *Config) expire(s *state, o, m Node, yield yield) {
	p := &s.nodes[o]
	w := p.said[m]
	if w.names == (names{}) || w.open {
		return
	}
	late := false
	for x, is := range w.names {
		switch q := s.callers[x]; {
		case is == 0 || q.stage == over:
		case p.view.has(m) && s.nodes[m].mode != crashed && s.nodes[m].leaving != gone:
			late = late || s.nodes[m].attached[x] != 0
		default:
			late = late || q.at != m && !p.speaks(uint8(x), m)
		}
	}
	next := *s
	next.nodes[o].told(m, words{num: w.num})
	switch {
	case !late:
		yield(must, event{kind: evGone, n: o, m: m}, next, "")
	case c.GoneBetweenAsking:
		yield(may, event{kind: evGone, n: o, m: m}, next, "")
	case s.slow > 0:
		next.slow--
		next.allowed++
		yield(may, event{kind: evGone, n: o, m: m, alt: true}, next, "")
	}
}
