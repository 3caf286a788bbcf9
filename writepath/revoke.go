package writepath

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
)

const (
	// tellLimit bounds one try to tell a member.
	tellLimit = time.Second
	// tellAgain is the wait before a member that did not acknowledge a
	// revocation is told again.
	tellAgain = 250 * time.Millisecond
)

// endLeases returns when no other node can hold a lease on k that was granted before the
// turn began, and the time at which that was so.
func (p *Path) endLeases(ctx context.Context, k keys.Key, turn *heads.Turn) (at time.Time, err error) {
	if at = time.Now(); !turn.MayBeLeased() {
		return at, nil
	}
	err = p.revoke(ctx, k, turn.Began)
	return time.Now(), err
}

// revoke returns when no other node can hold a lease on k that was granted
// before began.
//
// Rule 10: every member has acknowledged that it dropped its head, or the
// longest lease that a silent one can hold has run out. Members that join
// meanwhile are told too. A member that says that it is writing k itself is
// waited for, since its upload may come after this one.
//
// A member that died lately may still run, cut off from this node, with a
// lease that was granted before it was seen dead; that lease is waited out.
func (p *Path) revoke(ctx context.Context, k keys.Key, began time.Time) error {
	ask := func(ctx context.Context, untold []cluster.Member) []cluster.Ack {
		return p.cluster.Fanout(ctx, untold, heads.RevokeRoute, k.Place())
	}
	return p.revoked(ctx, k, began, ask)
}

// revoked is revoke with a way to tell members. What is logged names one key.
func (p *Path) revoked(ctx context.Context, k keys.Key, began time.Time, ask teller) error {
	defer func() { p.cfg.Waited(time.Since(began)) }()
	lease := heads.Outlasts(p.cfg.Lease)
	expired := began.Add(lease)
	told := map[string]bool{p.cluster.Self().ID: true}
	hung := map[string]bool{}
	for ctx.Err() == nil {
		silent, busy := p.tell(ctx, k, told, max(time.Until(expired), tellLimit), ask)
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

// teller tells members to drop their heads, all at once.
type teller func(ctx context.Context, members []cluster.Member) []cluster.Ack

// tell tells every member that was not told yet to drop its head of k, all at
// once, and returns those that did not acknowledge, and those that are writing
// k themselves.
func (p *Path) tell(ctx context.Context, k keys.Key, told map[string]bool, limit time.Duration, ask teller) (silent, busy []cluster.Member) {
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
	for _, ack := range ask(ctx, untold) {
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
