package claims

// caller is what a caller does, and what befalls it.
func (c *Config) caller(s *state, x uint8, yield yield) {
	p := s.callers[x]
	switch p.stage {
	case away:
		if n := c.At[x]; s.takes(n) {
			next := *s
			next.callers[x].stage = waiting
			c.attach(&next, n, x)
			yield(may, event{kind: evCome, x: x, n: n}, next, "")
		}
	case waiting, building:
		for n := A; n <= C; n++ {
			if p.at == Nobody && s.takes(n) {
				next := *s
				c.attach(&next, n, x)
				yield(must+will(p.stage-waiting), event{kind: evAttach, x: x, n: n, t: p.token}, next, "")
			}
		}
	case putting:
		for n := A; n <= C; n++ {
			if !p.sent && !s.passes(p.via) && s.takes(n) {
				next := *s
				next.callers[x].via = n
				yield(must, event{kind: evPutVia, x: x, n: n}, next, "")
			}
		}
	case over:
		return
	}
	if p.stage == building {
		c.ready(s, x, yield)
	}
	c.mishap(s, x, yield)
}

// takes reports whether a caller can attach at n, which has joined.
func (s *state) takes(n Node) bool {
	p := &s.nodes[n]
	return p.mode == running && p.leaving == staying && (p.view != n.bit() || n != s.joining)
}

// passes reports whether n forwards writes.
func (s *state) passes(n Node) bool {
	return n != Nobody && s.nodes[n].mode == running && s.nodes[n].leaving != gone
}

// ready is the end of a build: a value, or none.
func (c *Config) ready(s *state, x uint8, yield yield) {
	next := *s
	p := &next.callers[x]
	p.stage, p.via = putting, c.PutVia
	if p.via == Nobody {
		p.via = p.at
	}
	yield(pace, event{kind: evReady, x: x, n: p.via}, next, "")
	if s.failing > 0 {
		next := *s
		next.failing--
		next.allowed++
		next.callers[x].stage = over
		yield(may, event{kind: evGiveUp, x: x}, next, "")
	}
}

// mishap is a stream that breaks, and the death of a caller.
func (c *Config) mishap(s *state, x uint8, yield yield) {
	p := s.callers[x]
	if p.stage == away {
		return
	}
	lost := uint8(0)
	if p.stage == building || p.stage == putting {
		lost = 1
	}
	if s.cuts > 0 && p.at != Nobody {
		next := *s
		next.cuts--
		next.allowed += lost
		next.callers[x].at = Nobody
		yield(may, event{kind: evCut, x: x, n: p.at}, next, "")
	}
	if s.deaths > 0 {
		next := *s
		next.deaths--
		next.allowed += lost
		next.callers[x].stage = over
		yield(may, event{kind: evDeath, x: x}, next, "")
	}
}

// attach attaches a caller to a node, as the builder of its claim or as a waiter. If
// the node knows of a grant that the caller has missed, the caller hears of it.
func (c *Config) attach(s *state, n Node, x uint8) {
	p, q := &s.nodes[n], &s.callers[x]
	before := p.attached
	q.at = n
	if t := before[x].claim(); q.stage == waiting && t != 0 {
		s.begin(x, t)
		return
	}
	p.attached[x] = waiter
	if q.stage == building {
		p.attached[x] = builder(q.token)
	}
	c.broke(p, s, x)
	c.restate(s, n, before)
}

// begin is a caller that hears of its grant, and builds.
func (s *state) begin(x, t uint8) {
	s.callers[x].stage, s.callers[x].token = building, t
	s.builds++
}

// broke forgets a grant under way to a waiter who has been away.
func (c *Config) broke(p *node, s *state, x uint8) {
	if t := p.late.claim; t != 0 && s.claims[t].holder == x && !c.TakeAfterBreak {
		p.late = answer{}
	}
}
