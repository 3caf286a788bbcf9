package usage

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Sum is what somebody has in the store.
type Sum struct {
	Bytes   int64 `json:"bytes"`
	Objects int64 `json:"objects"`
}

func (s Sum) plus(t Sum) Sum  { return Sum{s.Bytes + t.Bytes, s.Objects + t.Objects} }
func (s Sum) minus(t Sum) Sum { return Sum{s.Bytes - t.Bytes, s.Objects - t.Objects} }

// size is how much was moved, whichever way.
func (s Sum) size() Sum { return Sum{max(s.Bytes, -s.Bytes), max(s.Objects, -s.Objects)} }

// account is what is counted apart in an org. The writer of what was there before
// it was counted is not known, and empty.
type account struct{ service, writer string }

// accounts are the counts of one org.
type accounts map[account]Sum

// maxWriters bounds the writers of an org that are counted apart; those beyond are
// counted with those that are not known.
const maxWriters = 1000

func (a accounts) add(at account, s Sum) {
	if _, ok := a[at]; !ok && len(a) >= maxWriters {
		at.writer = ""
	}
	if s = a[at].plus(s); s == (Sum{}) {
		delete(a, at)
		return
	}
	a[at] = s
}

func (a accounts) addAll(b accounts) {
	for at, s := range b {
		a.add(at, s)
	}
}

func (a accounts) takeAll(b accounts) {
	for at, s := range b {
		a.add(at, Sum{}.minus(s))
	}
}

// total sums up.
func (a accounts) total() (t Sum) {
	for _, s := range a {
		t = t.plus(s)
	}
	return t
}

// of is the sum of one service.
func (a accounts) of(service string) (t Sum) {
	for at, s := range a {
		if at.service == service {
			t = t.plus(s)
		}
	}
	return t
}

// line is one account as it is kept and told.
type line struct {
	Service string `json:"service"`
	Writer  string `json:"writer,omitempty"`
	Sum
}

func (a accounts) lines() []line {
	lines := make([]line, 0, len(a))
	for at, s := range a {
		lines = append(lines, line{at.service, at.writer, s})
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Writer, b.Writer))
	})
	return lines
}

func accountsOf(lines []line) accounts {
	a := make(accounts, len(lines))
	for _, l := range lines {
		a.add(account{l.Service, l.Writer}, l.Sum)
	}
	return a
}

// holding is what is known of what one org has in the store: what the bucket says,
// and what writes at each start of a node have added since. Each start counts its
// own writes and only adds up; so the counts of any two nodes can be put together in
// any order, and one that is heard twice counts once.
//
// The guard of all of it is Usage.mu.
type holding struct {
	id string // of this start
	// mine is what the writes at this node added, and gross how much they moved, by
	// service.
	mine  accounts
	gross map[string]Sum
	// pending is what the writes that are under way here would add.
	pending Sum
	writes  int64 // under way here
	// begun is what all writes here would have added so far, and known up to where
	// all other members have been told of it.
	begun, known Sum
	others       map[string]*heard // by the ID of a start

	base    *base  // nil until it was read
	version string // of the base in the bucket; empty if there is none
	// outdated says that another member has compared a later one with the bucket.
	outdated bool

	// changes counts the changes of what others are told; told is up to which each
	// member knows them, by ID.
	changes uint64
	told    map[string]uint64
	// tellAt is when others may be told again, and tellOf the changes until the last time.
	tellAt time.Time
	tellOf uint64

	sum   Sum // all told, if valid
	valid bool
	near  bool // the log has said that a limit is near
}

// heard is what another start has said of its writes.
type heard struct {
	at      time.Time
	changes uint64 // of the state that was told
	sums    accounts
	total   Sum // of these
	gross   map[string]Sum
	pending Sum
	writes  int64
}

func newHolding(id string) *holding {
	return &holding{id: id, mine: accounts{}, gross: map[string]Sum{}, others: map[string]*heard{}, told: map[string]uint64{}}
}

// add counts a change by a write here.
func (h *holding) add(at account, s Sum) {
	h.mine.add(at, s)
	h.gross[at.service] = h.gross[at.service].plus(s.size())
	h.changes++
	h.sum = h.sum.plus(s)
}

// total is what the org has, as far as this node knows: the total of its accounts, which
// it does not put together, since they are many.
func (h *holding) total() Sum {
	if h.valid {
		return h.sum
	}
	h.sum = h.mine.total().minus(h.base.counted(h.id))
	if h.base != nil {
		h.sum = h.sum.plus(h.base.sums.total())
	}
	for id, o := range h.others {
		h.sum = h.sum.plus(o.total).minus(h.base.counted(id))
	}
	h.valid = true
	return h.sum
}

// accounts puts together what is known: the base, and of each start what the base
// does not hold yet.
func (h *holding) accounts() accounts {
	all := accounts{}
	base := h.base
	if base == nil {
		base = newBase()
	}
	all.addAll(base.sums)
	all.addAll(h.mine)
	for id, o := range h.others {
		all.addAll(o.sums)
		if s := base.starts[id]; s != nil {
			all.takeAll(s.sums)
		}
	}
	if s := base.starts[h.id]; s != nil {
		all.takeAll(s.sums)
	}
	return all
}

// dirty reports whether more is known than the base in the bucket says.
func (h *holding) dirty() bool {
	var of accounts
	if s := h.base.of(h.id); s != nil {
		of = s.sums
	}
	if !maps.Equal(of, h.mine) {
		return true
	}
	for id, o := range h.others {
		if s := h.base.of(id); s == nil && len(o.sums) > 0 || s != nil && !maps.Equal(s.sums, o.sums) {
			return true
		}
	}
	return false
}

// othersPending is what the writes under way at other members would add.
func (h *holding) othersPending() (t Sum) {
	for _, o := range h.others {
		t = t.plus(o.pending)
	}
	return t
}

func (h *holding) movement() movement {
	m := movement{done: maps.Clone(h.gross), underWay: h.pending.plus(h.othersPending()), writes: h.writes}
	for _, o := range h.others {
		m.writes += o.writes
		for service, s := range o.gross {
			m.done[service] = m.done[service].plus(s)
		}
	}
	return m
}
