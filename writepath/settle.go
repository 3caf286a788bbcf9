package writepath

import (
	"context"
	"net/http"
	"sync"
	"time"

	"larder/cluster"
)

const (
	settleRoute = "writepath/settle"
	// settleBack is the text that asks in return, of a member that has settled already.
	settleBack = "back"
	// settleLimit bounds one try to settle, settleAgain is the wait before the next.
	settleLimit = 2 * time.Second
	settleAgain = 20 * time.Millisecond
)

// settling is what a node has to clear up with members that were strangers
// until the ring last changed: newcomers, the other half of a cluster that was
// cut in two, or a node that was taken for dead and is not.
//
// Strangers may have written while neither told the other. So each forgets its
// heads, and trusts the store as an owner again only when every stranger has
// said, with this node in its ring, that its uploads until then are over:
//
//	here:     joins, owns k now, is told v1 by the store and would keep it
//	stranger: owned k until now; its upload of v2, begun before, completes
//
// A node that is back without knowing that it was gone sees no change of its
// ring; being asked to settle tells it.
type settling struct {
	mu      sync.Mutex // guards all below, and is held while heads hear of it
	known   map[string]bool
	pending map[string]stranger // by ID
	serial  uint64
	kick    chan struct{} // holds a token when there is something to do
}

type stranger struct {
	cluster.Member
	serial uint64 // tells a stranger from the same one, met again
	back   bool   // it asked first
}

func newSettling() settling {
	return settling{known: map[string]bool{}, pending: map[string]stranger{}, kick: make(chan struct{}, 1)}
}

// RingChanged takes in that the members have changed. When it returns, nothing
// is trusted any more that a stranger could have made untrue.
func (p *Path) RingChanged() {
	s := &p.settle
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]bool{p.cluster.Self().ID: true}
	for _, m := range p.cluster.Members() {
		if now[m.ID] {
			continue
		}
		now[m.ID] = true
		if !s.known[m.ID] {
			s.meet(m, false)
		}
	}
	for id := range s.pending {
		if !now[id] {
			delete(s.pending, id)
		}
	}
	s.known = now
	p.heads.RingChanged(s.strangers())
}

// meet notes a stranger. The caller holds mu.
func (s *settling) meet(m cluster.Member, back bool) {
	s.serial++
	s.pending[m.ID] = stranger{Member: m, serial: s.serial, back: back}
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// strangers are those not settled with, by ID. The caller holds mu.
func (s *settling) strangers() map[string]bool {
	ids := make(map[string]bool, len(s.pending))
	for id := range s.pending {
		ids[id] = true
	}
	return ids
}

// Settled says whether there are no strangers.
func (p *Path) Settled() bool {
	p.settle.mu.Lock()
	defer p.settle.mu.Unlock()
	return len(p.settle.pending) == 0
}

// Run settles with strangers, and sweeps, until ctx ends.
func (p *Path) Run(ctx context.Context) error {
	defer p.lists.Wait()
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	sweeping.Go(func() { p.sweep(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.settle.kick:
		}
		for p.settleOnce(ctx); !p.Settled() && ctx.Err() == nil; p.settleOnce(ctx) {
			pause(ctx, settleAgain)
		}
	}
}

// settleOnce asks every stranger once, all at once.
func (p *Path) settleOnce(ctx context.Context) {
	s := &p.settle
	s.mu.Lock()
	var asked []stranger
	for _, m := range s.pending {
		asked = append(asked, m)
	}
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range asked {
		wg.Go(func() {
			text := ""
			if m.back {
				text = settleBack
			}
			if ack := p.cluster.Fanout(ctx, []cluster.Member{m.Member}, settleRoute, text)[0]; ack.Err != nil {
				p.log.Debug().Err(ack.Err).Str("peer", m.Name).Msg("not settled yet")
				return
			}
			p.settled(m)
		})
	}
	wg.Wait()
}

// settled takes a stranger off the list, unless it has become one again.
func (p *Path) settled(m stranger) {
	s := &p.settle
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[m.ID].serial != m.serial {
		return
	}
	delete(s.pending, m.ID)
	p.heads.RingChanged(s.strangers())
	if len(s.pending) == 0 {
		p.log.Debug().Msg("settled with all members")
	}
}

// handleSettle answers a member to which this node is a stranger: once it is in
// this node's ring, and the uploads under way are over. Uploads that begin
// later know of it.
func (p *Path) handleSettle(ctx context.Context, asked cluster.Asked) cluster.Answer {
	m, ok := p.cluster.Member(asked.From)
	if !ok {
		return refusal(http.StatusConflict, "not a member here yet")
	}
	if asked.Text != settleBack {
		p.settle.mu.Lock()
		if _, there := p.settle.pending[m.ID]; !there {
			p.settle.meet(m, true)
		}
		p.heads.RingChanged(p.settle.strangers())
		p.settle.mu.Unlock()
	}
	for _, uploaded := range p.turns.uploads() {
		select {
		case <-uploaded:
		case <-ctx.Done():
			return refusal(http.StatusServiceUnavailable, "uploads are not over yet")
		}
	}
	return cluster.Answer{Status: http.StatusNoContent}
}
