package claims

// writes are the writes that reach an owner, and end there.
func (c *Config) writes(s *state, o Node, yield yield) {
	p := &s.nodes[o]
	if p.mode != running {
		return
	}
	if p.write.phase == 0 {
		for x := range uint8(maxCallers) {
			if q := s.callers[x]; q.stage == putting && !q.sent && s.reaches(q.via, o) {
				c.put(s, o, x, yield)
			}
		}
		if q := s.other; q.kind != none && !q.sent && s.reaches(c.Via, o) {
			next := *s
			next.other.sent = true
			next.nodes[o].write = write{phase: marked, kind: q.kind, from: maxCallers, via: c.Via}
			yield(must, event{kind: evMarkOther, n: o, alt: q.kind == plain}, next, "")
		}
	}
	c.end(s, o, yield)
	if p.tell {
		if m := p.view.owner(); m != Nobody && s.hears(c, m, o) {
			next := *s
			next.nodes[o].tell = false
			q := &next.nodes[m]
			q.look.dirty = q.look.on
			q.looked = false
			yield(must, event{kind: evTell, n: o, m: m}, next, "")
		}
	}
}

// reaches reports whether a write through via comes to o.
func (s *state) reaches(via, o Node) bool {
	return s.passes(via) && s.nodes[via].view.owner() == o && s.nodes[o].owns(o) && s.nodes[o].view.has(via)
}

// put is the put of a value with a token, at its turn: it is marked, or refused.
func (c *Config) put(s *state, o Node, x uint8, yield yield) {
	next := *s
	p, q := &next.nodes[o], &next.callers[x]
	t := q.token
	known := p.ended.has(t)
	if (s.s3.version == s.claims[t].base || c.NoCondition) && (!known || c.ForgetEnded) {
		q.sent = true
		p.write = write{phase: marked, kind: claimed, claim: t, from: x, via: q.via}
		why := ""
		if known {
			why = "a claim that was ended by a write is put, and its owner knew of that write"
		}
		yield(must, event{kind: evMark, n: o, x: x, t: t}, next, why)
		return
	}
	own, why := c.refuse(&next, o, t, x)
	yield(must, event{kind: evRefuse, n: o, x: x, t: t, alt: own}, next, why)
}

// refuse ends a write that was not done. If the object of its own claim is there,
// its caller is answered as that one's was.
func (c *Config) refuse(s *state, o Node, t, x uint8) (own bool, why string) {
	own = s.s3.good && s.s3.by == t
	if own && c.RefuseOwn {
		own, why = false, "a repeat is refused though its own value is there"
	}
	s.callers[x].stage = over
	p := &s.nodes[o]
	if p.live != t || c.RefuseInSilence {
		return own, why
	}
	p.live, p.seen = 0, 0
	p.ended.add(t)
	if s.s3.good {
		s.known = true
		c.wake(s, o)
	}
	return own, why
}

// end is the end of a write at its owner: S3 has answered, or has not.
func (c *Config) end(s *state, o Node, yield yield) {
	w := s.nodes[o].write
	if w.phase == 0 {
		return
	}
	if s.unknown > 0 && w.phase != refused && s.ghost.phase == 0 {
		next := *s
		next.unknown--
		next.giveUp(o)
		yield(may, event{kind: evUnknown, n: o}, next, "")
	}
	if w.phase == marked {
		return
	}
	next := *s
	next.nodes[o].write = write{}
	if w.phase == refused {
		own, why := c.refuse(&next, o, w.claim, w.from)
		yield(must, event{kind: evRefuse, n: o, x: w.from, t: w.claim, alt: own}, next, why)
		return
	}
	c.ended(&next, o, w)
	if w.from < maxCallers && s.repeats > 0 {
		again := next
		again.repeats--
		again.callers[w.from].sent = false
		yield(may, event{kind: evMissed, n: o, x: w.from}, again, "")
	}
	next.answer(w)
	yield(must, event{kind: evEnd, n: o, t: w.claim}, next, "")
}

// ended takes in that a write has changed the key.
func (c *Config) ended(s *state, o Node, w write) {
	s.known = true
	p := &s.nodes[o]
	if v := &s.nodes[w.via]; v.mode == running && v.view.owner() != o && !c.TellNoNewOwner {
		v.tell = true
	}
	if !p.owns(o) {
		return // it has no claims of the key any more
	}
	p.look.dirty = p.look.on
	if c.EndNothing {
		return
	}
	p.ended |= p.named() | p.passed
	if w.claim != 0 {
		p.ended.add(w.claim)
	}
	if p.live != 0 {
		p.ended.add(p.live)
		p.live, p.seen = 0, 0
	}
	if s.s3.good {
		c.wake(s, o)
	}
}

// answer tells who waits for a write that it has ended. Who has lost the node through
// which it wrote writes again.
func (s *state) answer(w write) {
	switch {
	case w.from == maxCallers:
		s.other = other{}
	case s.nodes[w.via].mode != running:
		s.callers[w.from].sent = false
	default:
		s.callers[w.from].stage = over
	}
}

// giveUp ends a write of which S3 has not answered. It may still be applied.
func (s *state) giveUp(o Node) {
	p := &s.nodes[o]
	w := p.write
	p.write = write{}
	p.look.dirty = p.look.on
	if w.phase == marked && s.ghost.phase == 0 {
		s.ghost = w
	}
	if w.from == maxCallers {
		s.other = other{}
		return
	}
	s.callers[w.from].sent = false
}

// store is S3 applying what was sent, and another caller who writes.
func (c *Config) store(s *state, yield yield) {
	for n := A; n <= C; n++ {
		if w := s.nodes[n].write; w.phase == marked {
			next := *s
			done, why := c.apply(&next, w)
			next.nodes[n].write.phase = refused
			if done {
				next.nodes[n].write.phase = applied
			}
			yield(must, event{kind: evApply, n: n, t: w.claim, alt: done}, next, why)
		}
	}
	if w := s.ghost; w.phase == marked {
		next := *s
		next.ghost = write{}
		done, why := c.apply(&next, w)
		yield(may, event{kind: evApplyLate, t: w.claim, alt: done}, next, why)
	}
	if s.other.kind != none {
		return
	}
	if s.puts > 0 && s.passes(c.Via) {
		next := *s
		next.puts--
		next.other.kind = plain
		yield(may, event{kind: evPut, n: c.Via}, next, "")
	}
	if s.deletes > 0 && s.passes(c.Via) {
		next := *s
		next.deletes--
		next.other.kind = deletion
		yield(may, event{kind: evDelete, n: c.Via}, next, "")
	}
}

// apply is S3 applying a write, if its condition holds.
func (c *Config) apply(s *state, w write) (done bool, why string) {
	was := s.s3
	switch w.kind {
	case claimed:
		holds := was.version == s.claims[w.claim].base
		if !holds && !c.NoCondition {
			return false, ""
		}
		switch {
		case was.good && was.by == w.claim:
			why = "a value is put twice"
		case !holds:
			why = "a late builder replaces what is there"
		}
		s.last++
		s.s3 = object{version: s.last, good: true, by: w.claim}
	case plain:
		s.last++
		s.s3 = object{version: s.last, good: true}
	case deletion:
		s.s3 = object{}
		s.allowed++
	case none:
	}
	s.known = false
	return true, why
}
