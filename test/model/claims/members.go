package claims

// fate is what happens to a node as a member: it is paused, dies, comes, goes,
// and hears of others that do.
func (c *Config) fate(s *state, n Node, yield yield) {
	p := s.nodes[n]
	if p.mode == paused {
		next := *s
		next.nodes[n].mode = running
		yield(must, event{kind: evResume, n: n}, next, "")
	}
	if p.mode != running {
		return
	}
	if n == c.Pausing && s.pauses > 0 {
		next := *s
		next.pauses--
		next.nodes[n].mode = paused
		yield(may, event{kind: evPause, n: n}, next, "")
	}
	if n == c.Crashing {
		next := *s
		next.crash(n)
		yield(may, event{kind: evCrash, n: n}, next, "")
	}
	if c.Leaving.has(n) {
		c.leave(s, n, yield)
	}
	for m := A; m <= C; m++ {
		if m != n && p.view.has(n) {
			c.hearOf(s, n, m, yield)
		}
	}
}

// crash is the death of a node. Its callers lose their streams.
func (s *state) crash(n Node) {
	if s.nodes[n].write.phase != 0 {
		s.giveUp(n)
	}
	s.nodes[n] = node{mode: crashed}
	for x := range s.callers {
		p := &s.callers[x]
		if p.at != n {
			continue
		}
		if p.at = Nobody; p.stage == building || p.stage == putting {
			s.allowed++
		}
	}
}

// leave is a node's goodbye: it ends its streams, and when the owner knows their builders
// attached elsewhere it leaves its own ring. Then the others may be told.
func (c *Config) leave(s *state, n Node, yield yield) {
	next := *s
	p := &next.nodes[n]
	switch p.leaving {
	case staying:
		p.leaving = moving
		for x := range next.callers {
			if q := &next.callers[x]; q.at == n {
				q.at = Nobody
			}
		}
		before := p.attached
		if c.LeaveAsGiveUp {
			p.attached = names{}
		}
		c.restate(&next, n, before)
		yield(may, event{kind: evMoved, n: n}, next, "")
	case moving:
		if p.write.phase != 0 {
			return
		}
		speaks := s.namesABuilder(n)
		if speaks && !c.LeaveBeforeThey {
			if s.slow == 0 {
				return
			}
			next.slow--
			next.allowed++
		}
		p.leaving = gone
		p.attached = names{}
		c.ringChanged(&next, n, p.view&^n.bit())
		yield(must, event{kind: evLeave, n: n, alt: speaks && !c.LeaveBeforeThey}, next, "")
	case gone:
	}
}

// namesABuilder reports whether n names one who lives.
func (s *state) namesABuilder(n Node) bool {
	for x, is := range s.nodes[n].attached {
		if stage := s.callers[x].stage; is > waiter && (stage == building || stage == putting) {
			return true
		}
	}
	return false
}

// hearOf is n hearing of m: that it left, died (or seems to), came or came back.
func (c *Config) hearOf(s *state, n, m Node, yield yield) {
	next := *s
	p, other := &next.nodes[n], &next.nodes[m]
	switch {
	case p.view.has(m) && other.leaving == gone:
		c.ringChanged(&next, n, p.view&^m.bit())
		yield(must, event{kind: evHearLeft, n: n, m: m}, next, "")
	case p.view.has(m) && other.mode == crashed:
		c.ringChanged(&next, n, p.view&^m.bit())
		yield(must, event{kind: evHearDead, n: n, m: m}, next, "")
	case p.view.has(m) && other.mode == paused && s.returns > 0:
		next.returns--
		other.absent |= n.bit()
		c.ringChanged(&next, n, p.view&^m.bit())
		yield(may, event{kind: evHearDead, n: n, m: m}, next, "")
	case !p.view.has(m) && other.mode == running && other.leaving == staying && p.leaving != gone:
		view := p.view | m.bit()
		if p.view == n.bit() { // who joins is told of all members at once
			view |= other.view
		}
		c.ringChanged(&next, n, view)
		yield(must, event{kind: evHearJoin, n: n, m: m}, next, "")
	case p.view.has(m) && p.absent.has(m) && other.mode == running && other.view.has(n):
		p.absent &^= m.bit()
		if !c.ForgetNothingAway {
			p.forget()
			c.ringChanged(&next, n, p.view)
		}
		yield(must, event{kind: evAway, n: n, m: m}, next, "")
	}
}

// forget forgets what a node knows of claims.
func (p *node) forget() {
	p.asking, p.looked, p.said, p.live, p.ended, p.passed, p.seen, p.look = 0, false, [4]said{}, 0, 0, 0, 0, look{}
}

// ringChanged is a node taking in that its ring has changed. The owner asks every
// member; who is not the owner forgets. Grants under way are forgotten, and who is
// attached is named to the owner of now.
func (c *Config) ringChanged(s *state, n Node, view members) {
	p := &s.nodes[n]
	p.absent &= view
	p.view = view
	if !p.owns(n) && !c.KeepForeign {
		p.forget()
	}
	p.asking, p.looked, p.look, p.seen = 0, false, look{}, 0
	if p.owns(n) {
		p.asking = view &^ n.bit()
	}
	for m := A; m <= C; m++ {
		if s.nodes[m].report.to == n {
			s.nodes[m].report = words{}
		}
	}
	c.askAnew(s, n, c.TakeInNewRing)
}

// askAnew is a node asking who is the owner now. What it was granted before is
// forgotten.
func (c *Config) askAnew(s *state, n Node, keep bool) {
	p := &s.nodes[n]
	if !keep {
		p.late = answer{}
		if p.ask.travel == answered {
			p.ask = question{}
		}
	}
	c.restate(s, n, p.attached)
}
