package model

// writer is what a node does with its write, and S3 with the upload.
func (c *Config) writer(s *state, n Node, yield yield) {
	c.upload(s, n, yield)
	if s.nodes[n].mode != running {
		return
	}
	c.take(s, n, yield)
	for m := A; m <= C; m++ {
		c.revoke(s, n, m, yield)
	}
	c.proceed(s, n, yield)
	c.end(s, n, yield)
}

// take begins a write at a node that holds itself to be the owner: it forgets
// its head, and trusts and grants none from now on.
func (c *Config) take(s *state, n Node, yield yield) {
	p := s.nodes[n]
	if s.writes == 0 || p.write.phase != idle || p.leaving != staying || p.view.owner() != n {
		return
	}
	next := *s
	next.writes--
	q := &next.nodes[n]
	trusted := q.head
	q.drop()
	if c.TrustWhileWriting {
		q.head = trusted
	}
	q.write = write{phase: revoking, told: n.bit(), wait: waitTicks, unsure: q.marked && !c.MarkEndsWithWrite}
	q.write.free = q.granted == 0 || c.ForgetGrants
	if c.NoMarginForDrift {
		q.write.wait = leaseTicks
	}
	yield(event{kind: evBegin, n: n}, next, "")
}

// revoke tells m, which drops its head and acknowledges. A writer there that
// has not reached S3 gives way; one that has finishes first.
func (c *Config) revoke(s *state, n, m Node, yield yield) {
	w, p := s.nodes[n].write, s.nodes[m]
	if w.phase != revoking || w.told.has(m) || !s.nodes[n].view.has(m) || p.mode != running {
		return
	}
	if p.write.phase == uploading && !c.AckWhileUploading {
		return
	}
	next := *s
	q := &next.nodes[m]
	q.drop()
	q.write.gaveWay = q.write.phase == revoking && !c.NoGivingWay
	next.nodes[n].write.told |= m.bit()
	yield(event{kind: evRevoke, n: n, m: m, lease: q.write.gaveWay}, next, "")
}

// proceed sends the upload, once no lease can be left.
func (c *Config) proceed(s *state, n Node, yield yield) {
	p := s.nodes[n]
	if p.write.phase != revoking || !c.UploadBeforeRevoked && !c.revoked(s, &p) {
		return
	}
	next := *s
	q := &next.nodes[n]
	if p.write.gaveWay || p.view.owner() != n && !c.NoCheckAfterMark {
		q.drop()
		q.write = write{}
		yield(event{kind: evGiveUp, n: n}, next, "")
		return
	}
	q.write.phase = uploading
	q.wrote = true
	yield(event{kind: evUpload, n: n, lease: p.view&^p.write.told != 0}, next, "")
}

// revoked says that every member has acknowledged or the longest lease that it
// can hold has run out, and the same of those that died lately. One that is
// uploading the key itself says so, and is waited for.
func (c *Config) revoked(s *state, p *node) bool {
	if p.write.free && c.isCalm(p) {
		return true
	}
	untold := p.view &^ p.write.told
	if untold != 0 && p.write.wait > 0 && !c.NoWaitForSilent {
		return false
	}
	for m := A; m <= C; m++ {
		q := &s.nodes[m]
		if untold.has(m) && q.mode == running && q.write.phase == uploading && !c.BusyIsSilent && !c.NoWaitForSilent {
			return false
		}
		if min(p.holds[m], p.write.wait) > 0 && !p.write.told.has(m) && !c.NoWaitForDeparted {
			return false
		}
	}
	return true
}

// isCalm reports whether every other member has taken the node for one for as long as a
// lease: then the leases on what it owns are those that it has granted.
func (c *Config) isCalm(p *node) bool {
	return (!p.changed || c.CalmBeforeTakingIn) && (p.restive == 0 && p.pending == 0 || c.CalmAtOnce)
}

// upload is S3 applying an upload that was sent, or one that was given up. The
// upload of a node that died comes to its end before the death is noticed:
// what S3 does later is beyond the promise.
func (c *Config) upload(s *state, n Node, yield yield) {
	p := s.nodes[n]
	if p.write.phase == uploading && p.write.applied == 0 && (p.mode != crashed || !s.noticed(n)) {
		next := *s
		next.s3++
		next.nodes[n].write.applied = next.s3
		yield(event{kind: evApply, n: n, v: next.s3}, next, "")
	}
	if p.ghost {
		next := *s
		next.s3++
		next.nodes[n].ghost = false
		yield(event{kind: evApplyLate, n: n, v: next.s3}, next, "")
	}
	if p.marked && p.mode == running {
		next := *s
		next.nodes[n].marked, next.nodes[n].ghost = false, false
		yield(event{kind: evMarkOver, n: n}, next, "")
	}
}

// noticed says that another node has seen n dead.
func (s *state) noticed(n Node) bool {
	for m := A; m <= C; m++ {
		if m != n && s.nodes[m].mode != crashed && !s.nodes[m].view.has(n) {
			return true
		}
	}
	return false
}

// end is the end of an upload for its writer: the answer of S3, or none.
func (c *Config) end(s *state, n Node, yield yield) {
	p := s.nodes[n]
	if p.write.phase == uploading && s.unknown > 0 && !p.marked && !p.ghost {
		next := *s
		next.unknown--
		q := &next.nodes[n]
		q.drop()
		q.marked, q.ghost = !c.NoMark, p.write.applied == 0
		q.write = write{}
		yield(event{kind: evUnknown, n: n}, next, "")
	}
	if p.write.phase == uploading && p.write.applied > 0 {
		c.publish(s, n, yield)
	}
}

// publish ends a write that happened: the owner trusts the new head, unless
// somebody may have written since, and the writer is told.
func (c *Config) publish(s *state, n Node, yield yield) {
	next := *s
	q := &next.nodes[n]
	v := q.write.applied
	q.drop()
	if c.MarkEndsWithWrite {
		q.marked = false
	}
	if c.mayOwn(q, n) && !q.write.unsure && (!q.write.disturbed || c.PublishDisturbed) {
		q.head = head{known: true, owned: true, version: v}
	}
	q.write = write{}
	next.acked = max(next.acked, v)
	yield(event{kind: evPublish, n: n, v: v, lease: q.head.live()}, next, "")
}
