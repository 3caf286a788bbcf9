package builds

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"larder/keys"
)

// errFull refuses a key more than this node knows claims of.
var errFull = errors.New("this node knows of as many builds as it may")

const (
	// absence is how long an owner waits for a node that says nothing more.
	absence = 3500 * time.Millisecond
	// remembered is how long a failure is told to who asks.
	remembered = 10 * time.Second
)

// limits of what an owner holds.
type limits struct {
	keys  int // with a claim, somebody who waits, or a failure
	names int // of claims that are over
}

// table is what this node knows, as their owner, of keys that are being built. It is a
// state machine: the time is given to it, and what has to be done elsewhere is left in
// looks and touched. It is not safe for concurrent use; see owner.
type table struct {
	self    string // this node's ID
	silence time.Duration
	limits  limits

	keys    map[keys.Key]*state
	marks   map[keys.Key]int      // writes that are changing the store
	ended   names                 // of claims that a write has ended
	given   names                 // of claims that were given up, or whose holder was silent
	passed  map[keys.Key][]string // claims that were passed on since the last write that ended here
	version uint64
	ring    uint64 // the change of the ring that was taken in last
	asked   bool   // every member has said who is attached there since then
	// unasked is when asked last became false.
	unasked time.Time
	// running is for how long this process was seen to run: while it is stopped, nobody
	// who waits in its sockets is absent.
	running time.Duration

	looks   []keys.Key // that have to be looked up
	touched []keys.Key // whose view has changed for this node itself
	notes   []note     // for the audit
	counts  counts
}

// state is what is known of one key.
type state struct {
	key     keys.Key
	version uint64
	changed chan struct{} // closed when the version changes; nil if nobody waits for that
	gone    bool          // this node is not the owner any more

	claim    *held    // the live one, or nil
	parties  []*party // all who are attached, in the order in which they came
	speakers map[string]*speaker
	failure  *failure // the last, while it is remembered

	// What happened to the key is numbered, so that a look can be told to have begun
	// after it: a waiter came, a claim ended, a write ended.
	clock, ended, wrote uint64
	looking             bool
	lookedFor           uint64 // the clock when the look that runs began
	looked              uint64 // the same, of the look that ended last
	base                Base   // what that found
	tookOver            bool   // the next grant is to the one after a builder that was lost
}

// held is a live claim.
type held struct {
	Claim
	holder   *party
	told     uint64 // the version with which its holder was told
	taken    bool   // a node has named its holder as a builder
	from     uint64 // the state's clock when it was taken in: a later look has to find its base
	heard    time.Time
	spoke    map[string]uint64 // by node
	progress *float64
	message  string
}

// party is one who is attached.
type party struct {
	attached
	came    uint64
	seats   map[string]seat // by the ID of the node that speaks for it
	verdict Verdict
}

// seat is a party as one node names it.
type seat struct {
	nonce uint64
	away  bool
}

// speaker is a node that speaks for parties.
type speaker struct {
	number uint64
	next   chan struct{} // closed when a later statement of this node comes; nil if nobody waits for that
	until  time.Duration // of running; 0 while a question of it is under way
}

// failure is a build that came to nothing.
type failure struct {
	Verdict
	until time.Time
}

func newTable(self string, silence time.Duration, l limits) *table {
	return &table{
		self: self, silence: silence, limits: l, asked: true,
		keys: map[keys.Key]*state{}, marks: map[keys.Key]int{}, passed: map[keys.Key][]string{}, ended: newNames(l.names), given: newNames(l.names),
	}
}

// of returns the state of a key, and makes it if there is room.
func (t *table) of(k keys.Key) (*state, error) {
	if st := t.keys[k]; st != nil {
		return st, nil
	}
	if len(t.keys) >= t.limits.keys {
		return nil, errFull
	}
	st := &state{key: k, version: t.version, speakers: map[string]*speaker{}} // no version is there twice
	t.keys[k] = st
	return st, nil
}

// bump tells all who wait for a change of the key.
func (t *table) bump(st *state) {
	t.version++
	st.version = t.version
	if st.changed != nil {
		close(st.changed)
		st.changed = nil
	}
	if st.speakers[t.self] != nil {
		t.touched = append(t.touched, st.key)
	}
}

// say takes in a statement of a node. Older ones than the last change nothing.
//
// Rule 23: a node names all who are attached to it, and whoever it does not name any
// more is attached to it no longer. Who is attached at no node is gone.
func (t *table) say(now time.Time, node string, k keys.Key, s statement) (*state, error) {
	st := t.keys[k]
	if st == nil && len(s.Attached) == 0 {
		return nil, nil
	}
	st, err := t.of(k)
	if err != nil {
		return nil, err
	}
	sp := st.speakers[node]
	if sp == nil {
		sp = &speaker{}
		st.speakers[node] = sp
	}
	if s.Number <= sp.number {
		return st, nil
	}
	sp.number, sp.until = s.Number, 0
	if sp.next != nil {
		close(sp.next)
		sp.next = nil
	}
	named := make(map[string]bool, len(s.Attached))
	for _, a := range s.Attached {
		named[a.ID] = true
		t.attach(now, node, st, a, s.Seen)
	}
	for _, p := range st.parties {
		if !named[p.ID] {
			delete(p.seats, node)
		}
	}
	if len(s.Attached) == 0 && node == t.self {
		delete(st.speakers, node) // a node's statements to itself come in order
	}
	t.settle(now, st)
	return st, nil
}

// answered notes that a node's question was answered, or broke off: another has to
// follow.
func (t *table) answered(node string, st *state, number uint64) {
	if sp := st.speakers[node]; sp != nil && sp.number == number && node != t.self {
		sp.until = t.running + absence
	}
}

// attach takes in one who is attached to a node.
func (t *table) attach(now time.Time, node string, st *state, a attached, seen uint64) {
	p := st.find(a.ID)
	if p != nil && p.verdict.final() && p.isNew(node, a) {
		st.parties = slices.DeleteFunc(st.parties, func(other *party) bool { return other == p })
		p = nil
	}
	known := p != nil
	if !known {
		st.clock++
		p = &party{attached: a, came: st.clock, seats: map[string]seat{}}
		st.parties = append(st.parties, p)
	}
	if a.Claim != nil {
		p.Claim = a.Claim
	}
	was, there := p.seats[node]
	p.seats[node] = seat{a.Nonce, a.Away}
	if known && (!there || was.nonce != a.Nonce || was.away != a.Away) {
		t.bump(st) // the node has to hear what is decided already, and whether it is elsewhere
	}
	if !a.Away {
		p.MaxAge, p.Retry, p.Writer, p.Stream, p.Expect, p.Message = a.MaxAge, a.Retry, a.Writer, a.Stream, a.Expect, a.Message
	}
	c := st.claim
	switch {
	case a.Claim != nil && !p.verdict.final():
		t.hold(now, node, st, p, a)
	case c != nil && c.holder == p && !c.taken && there && was.nonce == a.Nonce && seen >= c.told && p.away():
		t.lose(st, "declined") // its node found nobody to give it to
	}
}

// isNew reports whether a node names somebody for the first time since all under
// that name were told what became of them.
func (p *party) isNew(node string, a attached) bool {
	s, there := p.seats[node]
	if there {
		return s.nonce != a.Nonce
	}
	return a.Retry || a.Claim == nil && p.verdict.Kind == Lost
}

// away reports whether no node has a connection of the party.
func (p *party) away() bool {
	for _, s := range p.seats {
		if !s.away {
			return false
		}
	}
	return true
}

// elsewhere reports whether another node than this has a connection of the party.
func (p *party) elsewhere(node string) bool {
	for other, s := range p.seats {
		if other != node && !s.away {
			return true
		}
	}
	return false
}

func (st *state) find(id string) *party {
	for _, p := range st.parties {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// hold takes in that a node names a builder.
func (t *table) hold(now time.Time, node string, st *state, p *party, a attached) {
	c := st.claim
	switch {
	case c != nil && c.Name == a.Claim.Name:
		c.taken = true
		if c.spoke[node] == a.Spoke {
			return
		}
		c.spoke[node], c.heard = a.Spoke, now
		c.progress, c.message = cmp.Or(a.Progress, c.progress), cmp.Or(a.Message, c.message)
		t.bump(st)
	case t.ended.has(a.Claim.Name) || t.given.has(a.Claim.Name):
		t.decide(st, p, Verdict{Kind: Lost})
	case c == nil || !t.asked && a.Claim.Granted < c.Granted:
		if c != nil {
			t.decide(st, c.holder, Verdict{Kind: Lost})
		}
		st.claim = &held{
			Claim: *a.Claim, holder: p, taken: true, heard: now, spoke: map[string]uint64{node: a.Spoke},
			progress: a.Progress, message: a.Message,
		}
		t.recheck(st)
		t.bump(st)
	default:
		t.decide(st, p, Verdict{Kind: Lost})
	}
}

// recheck has a look that begins from now on find out whether the base of the claim is
// still there, and what the waiters may have.
func (t *table) recheck(st *state) {
	st.clock++
	st.ended = st.clock
	if st.claim != nil {
		st.claim.from = st.clock
	}
}

// decide tells a party what has become of it.
func (t *table) decide(st *state, p *party, v Verdict) {
	p.verdict = v
	t.bump(st)
}

// view is what there is to say of a key to a node.
func (st *state) view(now time.Time, node string) view {
	v := view{Version: st.version, Build: st.build(now), Told: map[string]told{}}
	if sp := st.speakers[node]; sp != nil {
		v.Number = sp.number
	}
	for _, p := range st.parties {
		s, here := p.seats[node]
		waits := st.waits(p)
		switch {
		case !here:
		case !waits && !p.verdict.final():
			c := st.claim.Claim
			v.Told[p.ID] = told{Nonce: s.nonce, Verdict: Verdict{Kind: Granted, Claim: &c}, Elsewhere: s.away && p.elsewhere(node)}
		case p.verdict.final() || p.verdict.Kind == Waits:
			v.Told[p.ID] = told{Nonce: s.nonce, Verdict: p.verdict, Ahead: v.Waiting}
		}
		if waits {
			v.Waiting++
		}
	}
	return v
}

// build is the present build; nil if there is none.
func (st *state) build(now time.Time) *Build {
	c := st.claim
	if c == nil {
		return nil
	}
	since := c.since()
	return &Build{
		Builder: c.User, Since: since, Elapsed: math.Max(0, now.Sub(since).Seconds()), Expect: c.Expect,
		Progress: c.progress, Message: c.message,
	}
}

// waits reports whether a party neither builds nor was told what became of it.
func (st *state) waits(p *party) bool {
	return !p.verdict.final() && (st.claim == nil || st.claim.holder != p)
}

// waiters are those who wait, the oldest first.
func (st *state) waiters() (all []*party) {
	for _, p := range st.parties {
		if st.waits(p) {
			all = append(all, p)
		}
	}
	return all
}
