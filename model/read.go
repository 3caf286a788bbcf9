package model

// read is a reader at n who finds no live head there: it joins the lookup under
// way, or starts one. Reads under a live head need no step: broken sees them.
func (c *Config) read(s *state, n Node, yield yield) {
	p := &s.nodes[n]
	if p.mode != running || p.head.live() {
		return
	}
	for i := range p.lookups {
		if l := &p.lookups[i]; l.current && c.joinable(p, l) {
			next := *s
			next.nodes[n].lookups[i].floor = max(l.floor, c.floor(s))
			yield(event{kind: evJoin, n: n, v: l.version}, next, "")
			return
		}
	}
	owner := p.view.owner()
	if owner == n || owner == Nobody {
		next := *s
		if c.begin(&next, n, lookup{asOwner: owner == n, version: s.s3}) {
			yield(event{kind: evAskS3, n: n, v: s.s3}, next, "")
		}
		return
	}
	next := *s
	if c.begin(&next, n, lookup{version: s.s3}) {
		yield(event{kind: evAskS3Instead, n: n, m: owner, v: s.s3}, next, "")
	}
	next = *s
	if l, ok := c.askOwner(&next, owner, n); ok && c.begin(&next, n, l) {
		yield(event{kind: evAskOwner, n: n, m: owner, v: l.version, lease: l.lease}, next, "")
	}
}

// joinable says whether a reader who comes now may have the answer of l.
func (c *Config) joinable(p *node, l *lookup) bool {
	if l.revoked && !c.JoinRevoked || p.unsettled() || l.ticks == 0 {
		return false
	}
	if p.leaving != staying && !c.ShareWhileLeaving {
		return false
	}
	return l.asOwner || l.lease || c.JoinWithoutLease
}

// begin starts a lookup at n, if there is room.
func (c *Config) begin(s *state, n Node, l lookup) bool {
	p := &s.nodes[n]
	l.on, l.current, l.ticks, l.floor = true, true, leaseTicks, c.floor(s)
	l.revoked = p.unsettled() && !c.TrustWhileWriting && !c.StoreUnsettled
	free := -1
	for i := range c.Lookups {
		p.lookups[i].current = false
		if !p.lookups[i].on {
			free = i
		}
	}
	if free < 0 {
		return false
	}
	p.lookups[free] = l
	return true
}

// askOwner is the owner's answer to a node, if it holds itself to be the owner.
// It grants a lease on a head that it trusts, to a member.
func (c *Config) askOwner(s *state, owner, asker Node) (lookup, bool) {
	o := &s.nodes[owner]
	if o.mode != running || o.view.owner() != owner {
		return lookup{}, false
	}
	if o.head.live() {
		return lookup{version: o.head.version, lease: o.head.owned && o.view.has(asker)}, true
	}
	l := lookup{version: s.s3}
	switch {
	case o.leaving != staying:
	case o.unsettled():
		l.lease = c.LeaseWhileWriting && o.write.phase != idle
	default:
		o.head = head{known: true, owned: true, version: s.s3}
		l.lease = o.view.has(asker)
	}
	return l, true
}

// arrive is the arrival of an answer: those who wait for it are told, and it is
// kept if it may be.
func (c *Config) arrive(s *state, n Node, i int, yield yield) {
	l := s.nodes[n].lookups[i]
	if s.nodes[n].mode != running || !l.on {
		return
	}
	next := *s
	p := &next.nodes[n]
	p.lookups[i] = lookup{}
	trusted := !l.revoked || c.StoreLate
	settled := !p.unsettled() || c.TrustWhileWriting && !p.marked
	kept := trusted && settled && (p.leaving == staying || c.LeaveWithoutForgetting)
	switch {
	case kept && l.asOwner:
		p.head = head{known: true, owned: true, version: l.version}
	case kept && l.lease && l.ticks > 0:
		p.head = head{known: true, version: l.version, ticks: l.ticks}
	}
	why := ""
	if l.version < l.floor {
		why = verdict(s, n, l.version, l.floor, "the answer that arrived")
	}
	yield(event{kind: evArrive, n: n, v: l.version, lease: p.head.live()}, next, why)
}
