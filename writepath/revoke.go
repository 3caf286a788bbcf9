package writepath

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"larder/cluster"
	"larder/keys"
)

const (
	revokeRoute = "writepath/revoke"
	// busyWithin is how long a member that is writing the key itself waits for
	// its own upload before it says that it is busy.
	busyWithin = 500 * time.Millisecond
	// tellLimit bounds one try to tell a member.
	tellLimit = time.Second
	// rememberDead is how long a death counts when its member is back.
	rememberDead = time.Hour
)

// withDrift is how long a lease is waited out: another node's clock may run
// slower than this one's by one part in a hundred, and a little for rounding.
func withDrift(lease time.Duration) time.Duration { return lease + lease/100 + 10*time.Millisecond }

// revoke returns when no other node can hold a lease on k that was granted
// before began: every member has acknowledged that it dropped its head, or the
// longest lease that a silent one can hold has run out. Members that join
// meanwhile are told too. A member that says that it is writing k itself is
// waited for, since its upload may come after this one.
//
// A member that died lately may still run, cut off from this node, with a
// lease that was granted before it was seen dead; that lease is waited out.
func (p *Path) revoke(ctx context.Context, k keys.Key, began time.Time) error {
	defer func() { p.cfg.Waited(time.Since(began)) }()
	lease := withDrift(p.cfg.Lease)
	expired := began.Add(lease)
	told := map[string]bool{p.cluster.Self().ID: true}
	hung := map[string]bool{}
	for ctx.Err() == nil {
		silent, busy := p.tell(ctx, k, told, max(time.Until(expired), tellLimit))
		if len(silent)+len(busy) == 0 {
			break
		}
		p.cluster.Gossip([]byte(k.Place())) // a hint for whoever the fan-out misses
		if len(busy) == 0 && !time.Now().Before(expired) {
			p.log.Warn().Stringer("key", k).Int("members", len(silent)).Str("peer", silent[0].Name).
				Msg("revocation not acknowledged, waited out the lease")
			p.counts.silentWaitedOut.Add(int64(len(silent)))
			for _, m := range silent {
				told[m.ID] = true
			}
			break
		}
		for _, m := range silent {
			hung[m.ID] = true
		}
		pause(ctx, tellAgain)
	}
	for _, d := range p.cluster.Departed(lease) {
		if told[d.Member.ID] {
			continue
		}
		granted := d.At // the latest moment at which it can have been granted a lease
		if began.Before(granted) {
			granted = began
		}
		left := time.Until(granted.Add(lease))
		if left > 0 || hung[d.Member.ID] { // which was seen dead just when its lease was over
			p.counts.departedWaitedOut.Add(1)
		}
		if left > 0 {
			pause(ctx, left)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("revoke %s: %w: %w", k, ErrNotApplied, err)
	}
	return nil
}

// tell tells every member that was not told yet to drop its head of k, all at
// once, and returns those that did not acknowledge, and those that are writing
// k themselves.
func (p *Path) tell(ctx context.Context, k keys.Key, told map[string]bool, limit time.Duration) (silent, busy []cluster.Member) {
	var untold []cluster.Member
	for _, m := range p.cluster.Members() {
		if !told[m.ID] {
			untold = append(untold, m)
		}
	}
	if len(untold) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, ack := range p.cluster.Fanout(ctx, untold, revokeRoute, k.Place()) {
		var refused *cluster.Refused
		switch {
		case ack.Err == nil:
			told[ack.Member.ID] = true
			p.counts.acknowledged.Add(1)
		case errors.As(ack.Err, &refused) && refused.Status == http.StatusConflict:
			busy = append(busy, ack.Member)
			p.counts.busy.Add(1)
		default:
			p.log.Debug().Err(ack.Err).Str("peer", ack.Member.Name).Stringer("key", k).Msg("revocation not acknowledged")
			silent = append(silent, ack.Member)
			p.counts.silent.Add(1)
		}
	}
	return silent, busy
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// handleRevoke drops the head of a key because a peer is about to write it.
//
// If this node is writing the key too, both were its owner for a moment. A
// write that has not reached the store is given up (its caller tries again at
// the owner). One that has is waited for before the acknowledgement: otherwise
//
//	here:  uploads v1, slowly
//	peer:  revokes here, uploads v2, publishes v2
//	store: completes v2, then v1
//
// and the peer would trust v2 while the store holds v1.
//
// A peer that was seen dead and is back is not acknowledged before it has
// settled: it waits, and until then what it is about to write may come from
// before its absence.
func (p *Path) handleRevoke(ctx context.Context, asked cluster.Asked) cluster.Answer {
	k, err := keys.FromPlace(asked.Text)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	if p.isBackUnsettled(asked.From) {
		p.counts.refused.Add(1)
		return refusal(http.StatusServiceUnavailable, "was seen dead, and has not settled yet")
	}
	if uploaded := p.turns.giveWay(k); uploaded != nil {
		ctx, cancel := context.WithTimeout(ctx, busyWithin)
		defer cancel()
		select {
		case <-uploaded:
		case <-ctx.Done():
			p.counts.refused.Add(1)
			return refusal(http.StatusConflict, "still writing "+k.String())
		}
	}
	p.heads.Drop(k)
	p.counts.dropped.Add(1)
	return cluster.Answer{Status: http.StatusNoContent}
}

// isBackUnsettled reports whether a member was seen dead, is there again, and
// has not settled with this node yet.
func (p *Path) isBackUnsettled(id string) bool {
	p.settle.mu.Lock()
	_, pending := p.settle.pending[id]
	p.settle.mu.Unlock()
	return pending && slices.ContainsFunc(p.cluster.Departed(rememberDead), func(d cluster.Departure) bool { return d.Member.ID == id })
}

// Hint drops the head of the key at this place: gossip carried a copy of a
// revocation. What cannot be read is ignored, like a hint that never came.
func (p *Path) Hint(place []byte) {
	if k, err := keys.FromPlace(string(place)); err == nil {
		p.heads.Drop(k)
	}
}
