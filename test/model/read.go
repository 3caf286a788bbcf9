package model

// read is a reader at n who finds no live head there: it joins the lookup under
// way, or starts one. Reads under a live head need no step: broken sees them.
func (c *Config) read(s *state, n Node, yield yield) {
	p := &s.nodes[n]
	if p.mode != running || p.head.live() {
		return
	}
	for i := range p.lookups {
		if l := &p.lookups[i]; c.joinsMatter() && l.current && (!l.revoked || c.JoinRevoked) {
			next := *s
			next.nodes[n].lookups[i].joined = max(l.joined, c.floor(s))
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
	if p.pending.has(owner) && !c.AskUnsettled {
		return
	}
	next = *s
	if l, ok := c.askOwner(s, owner, n); ok && c.begin(&next, n, l) {
		if l.lease {
			next.nodes[owner].granted = waitTicks
		}
		yield(event{kind: evAskOwner, n: n, m: owner, v: l.version, lease: l.lease}, next, "")
	}
}

// joinsMatter reports whether it makes a difference who joins a lookup. By the
// rules it makes none: who joined is told a head that is trusted at that moment,
// as every reader is then, or asks anew.
func (c *Config) joinsMatter() bool { return c.JoinRevoked || c.JoinUnkept || c.ShareWhileLeaving }

// begin starts a lookup at n, if there is room.
func (c *Config) begin(s *state, n Node, l lookup) bool {
	p := &s.nodes[n]
	l.on, l.current, l.ticks, l.floor = true, true, leaseTicks, c.floor(s)
	l.revoked = p.marked && !c.KeepAskedUnderMark
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
// It grants a lease on a head that it trusts as owner, to a member; any other
// answer is that of S3.
func (c *Config) askOwner(s *state, owner, asker Node) (lookup, bool) {
	o := &s.nodes[owner]
	switch {
	case o.mode != running || o.view.owner() != owner:
		return lookup{}, false
	case o.head.live():
		return lookup{version: o.head.version, lease: o.head.owned && (o.view.has(asker) || c.GrantToAnyone)}, true
	}
	return lookup{version: s.s3, lease: c.LeaseWhileWriting && o.write.phase != idle}, true
}

// mayOwn reports whether n may trust S3's answer as the owner.
func (c *Config) mayOwn(p *node, n Node) bool {
	return p.view.owner() == n && (p.pending == 0 || c.TrustUnsettled)
}

// arrive is the arrival of an answer: it is kept if it may be, and those who
// wait for it are told. Who joined is told only what was kept, and asks anew
// otherwise.
func (c *Config) arrive(s *state, n Node, i int, yield yield) {
	l := s.nodes[n].lookups[i]
	if s.nodes[n].mode != running || !l.on {
		return
	}
	next := *s
	p := &next.nodes[n]
	p.lookups[i] = lookup{}
	good := (!l.revoked || c.StoreLate) && (p.write.phase == idle || c.TrustWhileWriting)
	good = good && (l.asOwner && c.mayOwn(p, n) || !l.asOwner && (l.lease || c.KeepPastOwner) && l.ticks > 0)
	kept := good && (p.leaving == staying || c.LeaveWithoutForgetting)
	switch {
	case kept && l.asOwner:
		p.head = head{known: true, owned: true, version: l.version}
	case kept:
		p.head = head{known: true, version: l.version, ticks: l.ticks}
	}
	floor := l.floor
	if kept || c.JoinUnkept || c.JoinRevoked && l.revoked || c.ShareWhileLeaving && good {
		floor = max(floor, l.joined)
	}
	why := ""
	if l.version < floor {
		why = verdict(s, n, l.version, floor, "the answer that arrived")
	}
	yield(event{kind: evArrive, n: n, v: l.version, lease: kept}, next, why)
}
