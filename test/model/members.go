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
	if p.changed {
		next := *s
		c.takeIn(&next, n)
		yield(event{kind: evTakeIn, n: n}, next, "")
	}
	for m := A; m <= C; m++ {
		if m != n {
			c.hear(s, n, m, yield)
			c.settle(s, n, m, yield)
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
		q.view &^= n.bit()
		c.takeIn(&next, n) // it is waited for
		yield(event{kind: evLeave, n: n}, next, "")
	case gone:
	}
}

// hear is n hearing of m: that it left, died (or seems to), came or came back.
func (c *Config) hear(s *state, n, m Node, yield yield) {
	next := *s
	p, other := &next.nodes[n], s.nodes[m]
	switch {
	case p.view.has(m) && other.leaving == gone:
		c.ringChanged(&next, n, p.view&^m.bit())
		yield(event{kind: evHearLeft, n: n, m: m}, next, "")
	case p.view.has(m) && (other.mode == crashed || other.mode == paused && s.returns > 0):
		if other.mode == paused {
			next.returns--
		}
		p.holds[m] = waitTicks
		c.ringChanged(&next, n, p.view&^m.bit())
		yield(event{kind: evHearDead, n: n, m: m}, next, "")
	case !p.view.has(m) && other.mode == running && other.leaving == staying && p.leaving == staying:
		c.ringChanged(&next, n, p.view|m.bit())
		yield(event{kind: evHearJoin, n: n, m: m}, next, "")
	}
}

// ringChanged gives a node another ring, which it takes in now or later.
func (c *Config) ringChanged(s *state, n Node, view members) {
	p := &s.nodes[n]
	p.view, p.changed = view, true
	if !c.Late {
		c.takeIn(s, n)
	}
}

// takeIn is a node taking in that its ring has changed: members that were not
// in it before are unsettled.
func (c *Config) takeIn(s *state, n Node) {
	p := &s.nodes[n]
	moved := p.known.owner() != p.view.owner()
	for m := A; m <= C; m++ {
		if m == n || !p.view.has(m) || p.known.has(m) {
			continue
		}
		p.pending |= m.bit()
		p.back &^= m.bit()
		other := &s.nodes[m]
		other.untold &^= n.bit()
		if moved && !other.pending.has(n) {
			p.untold |= m.bit()
		}
	}
	unheard := p.pending &^ p.view
	p.pending &= p.view
	p.back &= p.pending
	p.untold &= p.pending
	switch {
	case p.known&^p.view&^n.bit() != 0:
		p.wrote, p.always = true, 0
	case p.wrote:
		p.always &= p.view
	default:
		p.always = p.view &^ n.bit()
	}
	p.known, p.changed = p.view, false
	c.forget(p, n, unheard == 0)
}

// vouches says that what m sent to S3 since its start can have made nothing untrue
// that n holds: n was in its ring, and so were no others than those whom n knows, too,
// and who speak for themselves.
func (c *Config) vouches(m, n *node, asker Node) bool {
	if c.VouchAfterWriting {
		return true
	}
	return m.always.has(asker) && m.known&^m.view == 0 && m.view&^n.known == 0
}

// settle is n asking m, unsettled with it, to settle. A member that asks first, and does
// not vouch, makes m forget too, and ask in return. m answers when n is in its ring and
// its uploads are over; then n trusts again as owner, if m was the last. Each vouches
// for itself, if it can.
func (c *Config) settle(s *state, n, m Node, yield yield) {
	p, other := &s.nodes[n], &s.nodes[m]
	if !p.pending.has(m) || !p.view.has(m) || other.mode != running || !other.view.has(n) {
		return
	}
	if !p.back.has(m) && !other.known.has(n) {
		return
	}
	next := *s
	if !p.back.has(m) {
		q := &next.nodes[m]
		next.nodes[n].untold &^= m.bit()
		if !c.KeepWhenAsked && !c.vouches(p, q, m) {
			if !q.pending.has(n) {
				q.pending |= n.bit()
				q.back |= n.bit()
			}
			c.forget(q, m, false)
		}
		yield(event{kind: evAskToSettle, n: n, m: m}, next, "")
	}
	if other.write.phase == uploading && !c.SettleWhileUploading {
		return
	}
	q := &next.nodes[n]
	q.pending &^= m.bit()
	q.back &^= m.bit()
	q.untold &^= m.bit()
	if !c.KeepAcrossSettling {
		c.forget(q, n, c.vouches(other, p, n) || c.TrustUnvouched)
	}
	yield(event{kind: evSettled, n: n, m: m}, next, "")
}

// forget makes a node forget the heads that it owned and owns no longer, and if there
// are unsettled members all others, but that those which it owns rest until there are
// none, as long as all vouch. Lookups under way are not kept.
func (c *Config) forget(p *node, n Node, vouched bool) {
	kept := p.head
	p.drop()
	switch owns := kept.owned && p.view.owner() == n; {
	case p.pending != 0 && c.KeepWhenMemberComes:
		p.head = kept
	case p.pending != 0 && owns && vouched:
		kept.rests = true
		p.head = kept
	case p.pending == 0 && (!kept.owned || owns && (vouched || !kept.rests)):
		kept.rests = false
		p.head = kept
	}
	p.write.disturbed = p.write.phase != idle
	p.restive = waitTicks
}

// tick is the passing of time. slow is a node whose clock misses the tick for
// the leases that it holds.
func (c *Config) tick(s *state, slow Node, yield yield) {
	for n := A; n <= C; n++ {
		if p := &s.nodes[n]; p.mode == running && p.changed {
			return // what takes no time comes first
		}
	}
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
		less(&p.granted)
		less(&p.restive)
		for m := range p.holds {
			less(&p.holds[m])
		}
		if n == slow {
			continue
		}
		if !c.TrustExpired {
			less(&p.head.ticks)
		}
		for i := range p.lookups {
			if !c.LeaseFromArrival {
				less(&p.lookups[i].ticks)
			}
		}
	}
	yield(event{kind: kind, n: slow}, next, "")
}

func less(ticks *uint8) {
	if *ticks > 0 {
		*ticks--
	}
}
