package writepath

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"larder/cluster"
	"larder/keys"
)

const revokeRoute = "/writepath/revoke"

// drift is how much faster than another node's clock this one may run while a
// lease is waited out: one part in a hundred, and a little for rounding.
func withDrift(lease time.Duration) time.Duration { return lease + lease/100 + 10*time.Millisecond }

// revoke returns when no other node can hold a lease on k that was granted
// before began: every member has acknowledged that it dropped its head, or the
// longest lease that a silent one can hold has run out. Members that join
// meanwhile are told too.
//
// A member that died lately may still run, cut off from this node, with a
// lease that was granted before it was seen dead; that lease is waited out.
func (p *Path) revoke(ctx context.Context, k keys.Key, began time.Time) error {
	lease := withDrift(p.cfg.Lease)
	told := map[string]bool{p.cluster.Self().ID: true}
	for {
		p.tellAll(ctx, k, told, began.Add(lease))
		until := p.departedUntil(told, lease)
		if !time.Now().Before(until) || ctx.Err() != nil {
			break
		}
		pause(ctx, time.Until(until))
		// Who came during that wait is told too: it may own the key now, and trust what the store holds.
		began = time.Now()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("revoke %s: %w: %w", k, ErrNotApplied, err)
	}
	return nil
}

// tellAll tells every member, until all have acknowledged or the lease has expired.
func (p *Path) tellAll(ctx context.Context, k keys.Key, told map[string]bool, expired time.Time) {
	wait, cancel := context.WithDeadline(ctx, expired)
	defer cancel()
	for {
		silent := p.tell(wait, k, told)
		if len(silent) == 0 {
			return
		}
		p.cluster.Gossip([]byte(k.Place())) // a hint for whoever the fan-out misses
		if !time.Now().Before(expired) {
			p.log.Warn().Stringer("key", k).Int("members", len(silent)).Str("peer", silent[0].Name).
				Msg("revocation not acknowledged, waited out the lease")
			return
		}
		pause(wait, tellAgain)
	}
}

// departedUntil is when the last lease has run out that a member can hold which died lately and was not told.
func (p *Path) departedUntil(told map[string]bool, lease time.Duration) (until time.Time) {
	for _, d := range p.cluster.Departed(lease) {
		if end := d.At.Add(lease); !told[d.Member.ID] && end.After(until) {
			until = end
		}
	}
	return until
}

// tell tells every member that was not told yet to drop its head of k, all at
// once, and returns those that did not acknowledge.
func (p *Path) tell(ctx context.Context, k keys.Key, told map[string]bool) (silent []cluster.Member) {
	var untold []cluster.Member
	for _, m := range p.cluster.Members() {
		if !told[m.ID] {
			untold = append(untold, m)
		}
	}
	if len(untold) == 0 {
		return nil
	}
	for _, ack := range p.cluster.Fanout(ctx, untold, revokeRoute, []byte(k.Place())) {
		if ack.Err != nil {
			p.log.Debug().Err(ack.Err).Str("peer", ack.Member.Name).Stringer("key", k).Msg("revocation not acknowledged")
			silent = append(silent, ack.Member)
			continue
		}
		told[ack.Member.ID] = true
	}
	return silent
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

// serveRevoke drops the head of a key because a peer is about to write it.
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
func (p *Path) serveRevoke(w http.ResponseWriter, r *http.Request) {
	place, err := readSmall(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	k, err := keys.FromPlace(string(place))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if uploaded := p.turns.giveWay(k); uploaded != nil {
		select {
		case <-uploaded:
		case <-r.Context().Done():
			http.Error(w, "still writing "+k.String(), http.StatusConflict)
			return
		}
	}
	p.heads.Drop(k)
	w.WriteHeader(http.StatusNoContent)
}

// Hint drops the head of the key at this place: gossip carried a copy of a
// revocation. What cannot be read is ignored, like a hint that never came.
func (p *Path) Hint(place []byte) {
	if k, err := keys.FromPlace(string(place)); err == nil {
		p.heads.Drop(k)
	}
}
