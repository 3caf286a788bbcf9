package model

// fate is what happens to a node as a member: it is paused, dies, comes, goes,
// and hears of others that do.
func (c *Config) fate(s *state, n Node, yield yield) {
	p := s.nodes[n]
	switch {
	case p.mode == running && n == c.Pausing && s.pauses > 0:
		next := *s
		next.pauses--
		next.nodes[n].mode = paused
		yield(event{kind: evPause, n: n}, next, "")
	case p.mode == paused:
		next := *s
		next.nodes[n].mode = running
		yield(event{kind: evResume, n: n}, next, "")
	}
	if p.mode == running && n == c.Crashing {
		next := *s
		next.nodes[n].mode = crashed
		yield(event{kind: evCrash, n: n}, next, "")
	}
	if p.mode != running {
		return
	}
	c.leave(s, n, yield)
	for m := A; m <= C; m++ {
		if m != n {
			c.hear(s, n, m, yield)
		}
	}
}

// leave is a node's goodbye. It has no write under way, forgets what it trusts,
// leaves its own ring, and only then tells the others.
func (c *Config) leave(s *state, n Node, yield yield) {
	if n != c.Leaving || s.nodes[n].write.phase != idle {
		return
	}
	next := *s
	switch q := &next.nodes[n]; q.leaving {
	case staying:
		if q.leaving = forgot; !c.LeaveWithoutForgetting {
			q.drop()
		}
		yield(event{kind: evForget, n: n}, next, "")
	case forgot:
		q.leaving = gone
		q.ringChanged(n, q.view&^n.bit())
		yield(event{kind: evLeave, n: n}, next, "")
	case gone:
	}
}

// hear is n hearing of m: that it left, died (or seems to), came or came back.
func (c *Config) hear(s *state, n, m Node, yield yield) {
	next := *s
	p, other := &next.nodes[n], &next.nodes[m]
	switch {
	case p.view.has(m) && other.leaving == gone:
		p.ringChanged(n, p.view&^m.bit())
		yield(event{kind: evHearLeft, n: n, m: m}, next, "")
	case p.view.has(m) && (other.mode == crashed || other.mode == paused && s.returns > 0):
		if other.mode == paused {
			next.returns--
		}
		p.holds[m] = waitTicks
		p.ringChanged(n, p.view&^m.bit())
		yield(event{kind: evHearDead, n: n, m: m}, next, "")
	case !p.view.has(m) && other.mode == running && other.leaving == staying && p.leaving == staying:
		p.ringChanged(n, p.view|m.bit())
		if !c.KeepWhenMemberComes {
			p.drop()
		}
		if !c.KeepWhenTakenForDead {
			other.drop()
			other.write.disturbed = other.write.phase != idle
		}
		yield(event{kind: evHearJoin, n: n, m: m}, next, "")
	}
}

// ringChanged makes a node forget what it owned and owns no longer, and
// lookups under way useless.
func (p *node) ringChanged(n Node, view members) {
	moved := p.view.owner() != view.owner()
	p.view = view
	kept := p.head
	p.drop()
	if !kept.owned || p.view.owner() == n {
		p.head = kept
	}
	p.write.disturbed = p.write.disturbed || moved && p.write.phase != idle
}

// tick is the passing of time. slow is a node whose clock misses the tick for
// the leases that it holds.
func (c *Config) tick(s *state, slow Node, yield yield) {
	next := *s
	kind := evTick
	if slow != Nobody {
		kind = evTickMissed
		next.drifts--
	}
	less(&next.since)
	for n := A; n <= C; n++ {
		p := &next.nodes[n]
		less(&p.write.wait)
		for m := range p.holds {
			less(&p.holds[m])
		}
		if n == slow {
			continue
		}
		less(&p.head.ticks)
		for i := range p.lookups {
			less(&p.lookups[i].ticks)
		}
	}
	yield(event{kind: kind, n: slow}, next, "")
}

func less(ticks *uint8) {
	if *ticks > 0 {
		*ticks--
	}
}
