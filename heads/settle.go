package heads

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"time"

	"larder/cluster"
)

const (
	settleRoute = "writepath/settle" // as older nodes name it
	// settleBack is the text that asks in return, of a member that has settled already.
	settleBack = "back"
	// settleLimit bounds one try to settle, settleAgain is the wait before the next.
	settleLimit = 2 * time.Second
	settleAgain = 20 * time.Millisecond
)

// Cluster is what the protocol needs to know of the members, and to ask of them.
type Cluster interface {
	Self() cluster.Member
	// Members are those that a revocation reaches, Member one of them by its ID.
	Members() []cluster.Member
	Member(id string) (m cluster.Member, ok bool)
	// Changes is how often the ring has changed, and Woke when this process last ran again
	// after it was stopped for longer than a second.
	Changes() uint64
	Woke() time.Time
	// Owner is the member that the ring gives a hash to, and whether it is this node.
	Owner(hash uint64) (m cluster.Member, self bool)
	// Departed are those that were seen dead within that time.
	Departed(within time.Duration) []cluster.Departure
	// Fanout asks members, all at once.
	Fanout(ctx context.Context, members []cluster.Member, route, text string) []cluster.Ack
}

// settling is what a node has to clear up with members that are unsettled: they were
// none until the ring last changed. They are newcomers, the other half of a cluster
// that was cut in two, or a node that was taken for dead and is not.
//
// Two nodes may have written while neither told the other. So each trusts no
// head, and trusts the store as an owner again only when every unsettled member has
// said, with this node in its ring, that its uploads until then are over:
//
//	here:   joins, owns k now, is told v1 by the store and would keep it
//	member: owned k until now; its upload of v2, begun before, completes
//
// What it trusted as owner rests meanwhile. It is trusted again if all of them vouch
// (vouching), as one does that has just started, and is forgotten otherwise.
//
// A node that is back without knowing that it was gone sees no change of its
// ring; being asked to settle tells it.
type settling struct {
	mu      sync.Mutex      // guards all below, and the replacing of Table.unsettled
	met     map[string]bool // the members, by ID, when the ring last changed
	changes uint64          // how often it had changed then
	since   time.Time       // just before that
	serial  uint64
	kick    chan struct{} // holds a token when there is something to do
	vouching
}

// member is an unsettled one.
type member struct {
	cluster.Member
	serial uint64 // tells a member from the same one, met again
	back   bool   // it asked first
}

// Settled reports whether no member is unsettled.
func (t *Table) Settled() bool { return len(*t.unsettled.Load()) == 0 }

// Unsettled reports whether a member is: it may hold heads from another time, and is
// not asked for one.
func (t *Table) Unsettled(id string) bool {
	_, ok := (*t.unsettled.Load())[id]
	return ok
}

// RingChanged takes in that the members have changed. When it returns, nothing is
// trusted any more that an unsettled member could have made untrue.
//
// Rule 15: new members are unsettled. As long as there are any, nothing is trusted as
// owner, what was so trusted rests, and all else is forgotten, as is always what is owned
// no longer. If one goes without having settled, what rests is forgotten. Lookups under
// way are not kept.
func (t *Table) RingChanged() {
	s := &t.settling
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseDeparted(t.cluster)
	s.changes = t.cluster.Changes() // before the members, which may be from after it
	unsettled := maps.Clone(*t.unsettled.Load())
	now := map[string]bool{t.cluster.Self().ID: true}
	for _, m := range t.cluster.Members() {
		if now[m.ID] {
			continue
		}
		now[m.ID] = true
		if !s.met[m.ID] {
			unsettled[m.ID] = s.meet(m, false)
		}
	}
	known := len(unsettled)
	maps.DeleteFunc(unsettled, func(id string, _ member) bool { return !now[id] })
	s.ringChanged(s.met, now)
	s.met = now
	t.forgetFor(unsettled, len(unsettled) == known)
}

// loseDeparted takes for members no more those that were seen dead since the ring last
// changed: one that is back already may have been taken for dead for long. The caller
// holds mu.
func (s *settling) loseDeparted(c Cluster) {
	now := time.Now()
	for _, d := range c.Departed(rememberDead) {
		if !d.At.Before(s.since) && s.met[d.Member.ID] {
			delete(s.met, d.Member.ID)
			s.lost = true
		}
	}
	s.since = now
}

// meet is a member that has to be settled with. The caller holds mu.
func (s *settling) meet(m cluster.Member, back bool) member {
	s.serial++
	return member{Member: m, serial: s.serial, back: back}
}

// forgetFor replaces the unsettled members, and forgets what they could have made
// untrue. What is owned rests, if whoever this is about has vouched, and is trusted again
// once no member is unsettled. Lookups and writes that began before are not kept. The
// caller holds settling's mu.
func (t *Table) forgetFor(unsettled map[string]member, vouched bool) {
	began := time.Now()
	if len(unsettled) > 0 {
		t.unsettled.Store(&unsettled) // before any lookup can begin anew
	} else if vouched {
		t.trace(Event{Kind: Resumed})
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.gen++
		s.changed++
		for _, p := range s.entries.byKey {
			switch owns := p.owned && t.owns(p.hash); {
			case p.owned && !owns:
				p.forget()
			case len(unsettled) == 0 && !p.resting: // trusted still
			case owns && vouched:
				p.resting = len(unsettled) > 0
			default:
				p.forget()
			}
		}
		s.mu.Unlock()
	}
	t.calm.Store(&calm{changes: t.settling.changes, since: time.Now()})
	t.trace(Event{Kind: Changed, Asked: began, Unsettled: len(unsettled), Vouched: vouched})
	t.unsettled.Store(&unsettled) // after no lookup and no write from before can be kept
	if len(unsettled) > 0 {
		select {
		case t.settling.kick <- struct{}{}: // once Run finds them
		default:
		}
	}
}

// Run settles with unsettled members until ctx ends.
func (t *Table) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.settling.kick:
		}
		for t.settle(ctx); !t.Settled() && ctx.Err() == nil; t.settle(ctx) {
			pause(ctx, settleAgain)
		}
	}
}

// settle asks every unsettled member once, all at once (rule 16).
func (t *Table) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range *t.unsettled.Load() {
		wg.Go(func() {
			text := settleBack
			if !m.back {
				text = t.vouch(m.ID)
			}
			ack := t.cluster.Fanout(ctx, []cluster.Member{m.Member}, settleRoute, text)[0]
			if ack.Err != nil {
				t.log.Debug().Err(ack.Err).Str("peer", m.Name).Msg("not settled yet")
				return
			}
			t.settled(m, ack.Text)
		})
	}
	wg.Wait()
}

// settled takes a member off the list, unless it has been met again. vouch is what it said.
func (t *Table) settled(m member, vouch string) {
	t.settling.mu.Lock()
	defer t.settling.mu.Unlock()
	unsettled := maps.Clone(*t.unsettled.Load())
	if unsettled[m.ID].serial != m.serial {
		return
	}
	delete(unsettled, m.ID)
	t.forgetFor(unsettled, t.settling.believes(vouch) && !t.diedBefore(m.Member))
	if len(unsettled) == 0 {
		t.log.Debug().Msg("settled with all members")
	}
}

// handleSettle answers a member to which this node is unsettled.
//
// Rule 16: it answers once the asker is in this node's ring, which it has taken in if the
// asker does not ask in return, and the uploads that are marked are over; those that are
// marked later know of the asker. It vouches, if it can.
func (t *Table) handleSettle(ctx context.Context, asked cluster.Asked) cluster.Answer {
	m, ok := t.cluster.Member(asked.From)
	if !ok {
		return refusal(http.StatusConflict, "not a member here yet")
	}
	if asked.Text != settleBack && !t.wasAway(m, asked.Text) {
		return refusal(http.StatusConflict, "not taken in as a member yet")
	}
	for _, uploaded := range t.uploads() {
		select {
		case <-uploaded:
		case <-ctx.Done():
			return refusal(http.StatusServiceUnavailable, "uploads are not over yet")
		}
	}
	return cluster.Answer{Status: http.StatusOK, Text: []byte(t.vouch(m.ID))}
}

// wasAway takes in that a member asks this node to settle. It reports whether this node has
// taken in that it is one; if not, nothing is done.
//
// Rule 17: if this node does not ask the asker, and that does not vouch, this node was away
// without knowing. It forgets all heads, takes the asker for unsettled, and asks it in return.
func (t *Table) wasAway(m cluster.Member, vouch string) (isMember bool) {
	isMember, away := t.askedBy(m, vouch)
	if away && t.cfg.WasAway != nil {
		t.cfg.WasAway()
	}
	return isMember
}

// askedBy forgets what the asker could have made untrue, and takes it for unsettled: nothing
// of that if it vouches, since it has lost nobody then. away says that it was not unsettled.
func (t *Table) askedBy(m cluster.Member, vouch string) (isMember, away bool) {
	s := &t.settling
	s.mu.Lock()
	defer s.mu.Unlock()
	if isMember = s.met[m.ID]; !isMember || s.believes(vouch) {
		return isMember, false
	}
	unsettled := maps.Clone(*t.unsettled.Load())
	_, there := unsettled[m.ID]
	if !there {
		unsettled[m.ID] = s.meet(m, true)
	}
	t.forgetFor(unsettled, false)
	return true, !there
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
