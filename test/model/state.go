package model

// state is everything at one moment. It is comparable.
type state struct {
	nodes [4]node // by Node; the first is not used
	s3    uint8   // the version that S3 holds
	acked uint8   // the newest version whose write was acknowledged
	since uint8   // ticks until the nodes have agreed for as long as a lease

	// What may still happen.
	writes, unknown, drifts, returns, pauses uint8
}

type mode uint8

const (
	running mode = iota
	paused
	crashed
)

type node struct {
	mode    mode
	leaving leaving
	view    members // whom it takes for alive
	known   members // whom it took for alive when it last took in a change of its ring
	changed bool    // its ring has changed since
	pending members // the unsettled members
	back    members // those of them who asked first
	untold  members // those of them who hold another to be the owner, and do not know that they were away
	wrote   bool    // it has uploaded, or lost a member: always grows no more
	always  members // those who were in its ring at each upload that it sent
	granted uint8   // ticks for which a lease may run that it has granted
	restive uint8   // ticks for which a lease may run that another owner has granted, before it settled
	head    head    // what it knows of the key
	lookups [2]lookup
	write   write
	marked  bool     // an upload was given up, S3 may still apply it
	ghost   bool     // that upload, not applied yet
	holds   [4]uint8 // ticks for which a member that it saw die may hold a lease
}

type leaving uint8

const (
	staying leaving = iota
	forgot          // it has forgotten its heads, and keeps none any more
	gone            // it has left its own ring; the others may be told
)

// head is what a node trusts: its own for long, another's for the ticks of a lease.
type head struct {
	known   bool
	owned   bool
	rests   bool // until all are settled
	version uint8
	ticks   uint8
}

func (h head) live() bool { return h.known && !h.rests && (h.owned || h.ticks > 0) }

// lookup is an answer on its way to those who wait for it.
type lookup struct {
	on      bool
	current bool  // new readers find it
	asOwner bool  // asked of S3 by an owner
	lease   bool  // the owner granted a lease
	revoked bool  // the key was dropped here since it began
	version uint8 // the answer
	ticks   uint8 // what is left of a lease, measured from the asking
	floor   uint8 // the oldest version that who began it may be told
	joined  uint8 // the oldest version that the last who joined may be told
}

type phase uint8

const (
	idle phase = iota
	revoking
	uploading
)

// write is a write under way at an owner.
type write struct {
	phase     phase
	told      members // who has acknowledged
	wait      uint8   // ticks until every lease granted before has ended
	free      bool    // no lease may run that it has granted
	gaveWay   bool    // another owner has revoked the key
	disturbed bool    // the ring changed since it began, or the node settled
	unsure    bool    // an upload that was given up could still happen when it began
	applied   uint8   // the version that it became in S3
}

// start is the first state.
func start(c Config) state {
	s := state{
		writes: uint8(c.Writes), unknown: uint8(c.Unknown), drifts: uint8(c.Drifts),
		returns: uint8(c.Returns), pauses: uint8(c.Pauses),
	}
	all := A.bit() | B.bit() | C.bit()
	for _, n := range [...]Node{A, B, C} {
		s.nodes[n].view = all &^ c.Joining.bit()
		if n == c.Joining {
			s.nodes[n].view = n.bit()
		}
		s.nodes[n].known = s.nodes[n].view
		s.nodes[n].always = s.nodes[n].view &^ n.bit()
	}
	c.tidy(&s)
	return s
}

// drop forgets the head, and makes lookups under way useless to later readers.
func (n *node) drop() {
	n.head = head{}
	for i := range n.lookups {
		n.lookups[i].revoked = n.lookups[i].on
	}
}

// agree reports whether the promises hold: the nodes agree who owns the key, and
// have for as long as a lease lasts.
func (s *state) agree() bool { return s.since == 0 }

// sameOwner reports whether all nodes that live hold the same node to be the
// owner, and those that were taken for dead and do not know it have been told.
func (s *state) sameOwner() bool {
	owner := Nobody
	for n := A; n <= C; n++ {
		p := &s.nodes[n]
		if p.mode == crashed {
			continue
		}
		if owner == Nobody {
			owner = p.view.owner()
		}
		if p.view.owner() != owner || p.changed || p.untold != 0 {
			return false
		}
	}
	return true
}

// floor is the oldest version that a read which starts now may be told.
func (c *Config) floor(s *state) uint8 {
	switch {
	case !s.agree():
		return 0
	case c.OnlyAcknowledged:
		return s.acked
	}
	return s.s3
}

// tidy brings states that do not differ in what can follow to one form.
func (c *Config) tidy(s *state) {
	if !s.sameOwner() {
		s.since = waitTicks
	}
	agree := s.agree()
	for n := A; n <= C; n++ {
		p := &s.nodes[n]
		if p.mode == crashed {
			*p = node{mode: crashed, write: write{phase: p.write.phase, applied: p.write.applied}}
		}
		for m := A; m <= C; m++ {
			if q := &s.nodes[m]; q.mode == crashed || q.leaving != staying {
				p.untold &^= m.bit()
			}
		}
		if !p.head.live() && !p.head.rests {
			p.head = head{}
		}
		if p.write.phase == idle && (s.writes == 0 || p.view.owner() != n) { // it becomes the owner by a change, which makes it restive
			p.granted, p.restive = 0, 0
		}
		for i := range p.lookups {
			l := &p.lookups[i]
			if !agree {
				l.floor, l.joined = 0, 0
			}
			if l.version >= max(l.floor, l.joined) && !c.useful(l) {
				*l = lookup{}
			}
		}
		// Of two lookups the current one comes first, then the older answer.
		x, y := &p.lookups[0], &p.lookups[1]
		if y.on && !x.current && (!x.on || y.current || x.version > y.version) {
			*x, *y = *y, *x
		}
	}
}

// useful reports whether a lookup can still do more than answer those who wait
// for it now: be joined or be kept.
func (c *Config) useful(l *lookup) bool {
	switch {
	case !l.on:
		return false
	case l.current && c.joinsMatter():
		return true
	case l.revoked:
		return c.StoreLate
	}
	return l.asOwner || (l.lease || c.KeepPastOwner) && l.ticks > 0
}

// broken says which promise a reader here could see broken now, if any.
func (c *Config) broken(s *state) string {
	floor := c.floor(s)
	for n := A; n <= C; n++ {
		p := &s.nodes[n]
		if p.mode == running && p.head.live() && p.head.version < floor {
			return verdict(s, n, p.head.version, floor, "the head that it trusts")
		}
	}
	return ""
}
