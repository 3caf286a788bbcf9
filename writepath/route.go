package writepath

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// Put writes an object of one chunk at most. The errors are those of
// store.Store's Put, ErrUnknown and ErrNotApplied. Once the owner has begun, it
// finishes even if ctx ends.
func (p *Path) Put(ctx context.Context, k keys.Key, h store.Head, body []byte, c Conditions) (Result, error) {
	if err := canExpire(k, c.ExpiresIn); err != nil {
		return Result{}, err
	}
	return p.route(ctx, k, op{
		Head: c.Claim.onto(h), IfMatch: c.IfMatch, IfAbsent: c.IfAbsent, Claim: c.Claim, ExpiresIn: c.ExpiresIn, Body: body,
	})
}

// Delete removes an object for a user, whom auditors are told of. Absence is
// store.ErrNotFound.
func (p *Path) Delete(ctx context.Context, k keys.Key, user string, ifMatch []string) error {
	_, err := p.route(ctx, k, op{Delete: true, Head: store.Head{Writer: user}, IfMatch: ifMatch})
	return err
}

// route takes a write to the key's owner. It tries again only while it is
// certain that nobody has begun the write: while nodes disagree on the owner,
// or until an owner that died is seen dead. An owner that is alive but out of
// this node's reach is not bypassed: it may hold a head of the key.
func (p *Path) route(caller context.Context, k keys.Key, o op) (Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), o.limit())
	defer cancel()
	o.abandoned = func() bool { return caller.Err() != nil }
	for {
		owner, self := p.cluster.Owner(k.Hash())
		var r Result
		var err error
		if self {
			r, err = p.apply(ctx, k, o)
		} else {
			r, err = p.forward(ctx, owner, k, o)
		}
		if err == nil {
			p.tellOwner(ctx, owner, k, o, r)
		}
		if !errors.Is(err, heads.ErrNotOwner) && !errors.Is(err, cluster.ErrUnreachable) {
			return r, err
		}
		select {
		case <-time.After(retryPause/2 + rand.N(retryPause/2)):
		case <-caller.Done():
			return Result{}, fmt.Errorf("write %s: %w: %w", k, ErrNotApplied, caller.Err())
		case <-ctx.Done():
			return Result{}, fmt.Errorf("write %s: %w within %s: %w", k, ErrNotApplied, o.limit(), err)
		}
	}
}
