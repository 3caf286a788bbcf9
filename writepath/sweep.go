package writepath

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/store/expiry"
)

const (
	// sweepEvery is the pause between sweeps, and sweepFirst that before the
	// first: by then the store has been seen, as a rule.
	sweepEvery = time.Hour
	sweepFirst = time.Minute
	// abandonedAfter is the age from which on an upload is taken for left
	// behind: longer than any upload that is still at work.
	abandonedAfter = 24 * time.Hour
	// sumsRounds is how many sweeps there are to one of lists of digests.
	sumsRounds = 24
	// expireAtOnce expired objects are removed beside each other.
	expireAtOnce = 8
)

// Run removes what was left behind and what has expired, until ctx ends.
func (p *Path) Run(ctx context.Context) error {
	defer func() { _ = p.drops.Wait() }() // none has an error
	var walk sync.WaitGroup
	defer walk.Wait()
	walk.Go(func() { p.expire(ctx) })
	p.sweep(ctx)
	return nil
}

// sweep aborts uploads that a crash, or a store that did not answer, has left
// behind, until ctx ends. Each node clears away those whose key it owns. Once a
// day it removes lists of digests that were left behind.
func (p *Path) sweep(ctx context.Context) {
	pause(ctx, sweepFirst)
	for rounds := 0; ctx.Err() == nil; rounds++ {
		if rounds%sumsRounds == 0 {
			n, err := p.sweepSums(ctx, time.Now().Add(-abandonedAfter))
			if err != nil && ctx.Err() == nil {
				p.log.Warn().Err(err).Msg("lists of digests left behind were not all cleared away")
			}
			if n > 0 {
				p.log.Info().Int("lists", n).Msg("lists of digests left behind were cleared away")
			}
		}
		n, err := p.sweepOnce(ctx, time.Now().Add(-abandonedAfter))
		if err != nil && ctx.Err() == nil {
			p.log.Warn().Err(err).Msg("uploads left behind were not all cleared away")
		}
		if n > 0 {
			p.log.Info().Int("uploads", n).Msg("uploads left behind were cleared away")
		}
		pause(ctx, sweepEvery)
	}
}

// sweepOnce aborts the uploads begun before a time whose keys this node owns. One
// that cannot be aborted does not keep the others. Where aborting is not known to
// do no harm, nothing is aborted.
func (p *Path) sweepOnce(ctx context.Context, before time.Time) (n int, err error) {
	if !p.store.Traits().AbortKeeps {
		return 0, nil
	}
	left, err := p.store.Abandoned(ctx, keys.Root, before)
	if err != nil {
		return 0, err
	}
	for _, u := range left {
		k, notOurs := keys.FromPlace(u.Name)
		if notOurs != nil {
			continue
		}
		if _, self := p.cluster.Owner(k.Hash()); !self {
			continue
		}
		if failed := p.store.Abort(ctx, u); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		n++
	}
	return n, err
}

// expire removes what has expired, until ctx ends. Each node removes what it owns.
func (p *Path) expire(ctx context.Context) {
	for pause(ctx, min(sweepFirst, p.cfg.ExpireEvery)); ctx.Err() == nil; pause(ctx, p.cfg.ExpireEvery) {
		n, err := p.expireOnce(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.Warn().Err(err).Msg("not all objects that have expired were removed")
		}
		if n > 0 {
			p.log.Info().Int64("objects", n).Msg("objects that have expired were removed")
		}
	}
}

// expireOnce removes the objects whose moment has come and whose keys this node owns.
// One that cannot be removed does not keep the others. Nothing is removed while
// somebody else may own the same keys: a node that looks for its cluster still is alone
// in its ring, and owns them all.
func (p *Path) expireOnce(ctx context.Context) (removed int64, err error) {
	if !p.cluster.Joined() || !p.heads.Settled() {
		return 0, nil
	}
	before := p.counts.expired.Load()
	var due atomic.Int64
	var g errgroup.Group // of whose errors one is told: a store that is down has one for each object
	g.SetLimit(expireAtOnce)
	listed := p.expiry.EachDue(ctx, time.Now().Add(-p.cfg.ExpireGrace), func(d expiry.Due) {
		if _, self := p.cluster.Owner(d.Key.Hash()); !self || ctx.Err() != nil {
			return
		}
		g.Go(func() error {
			done, err := p.expireDue(ctx, d)
			if !done {
				due.Add(1)
			}
			return err
		})
	})
	failed := g.Wait()
	p.counts.due.Store(due.Load())
	return p.counts.expired.Load() - before, errors.Join(failed, listed)
}

// expireDue removes an object that is due, and its entries, or only these if they are
// of another write of the key. An entry may be older than its object, whose write is
// under way: then it stays for now.
func (p *Path) expireDue(ctx context.Context, d expiry.Due) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	h, err := p.store.Head(ctx, d.Key.Place())
	switch {
	case errors.Is(err, store.ErrArchived):
		return false, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return false, err
	case err != nil || h.Write != d.Write:
		if time.Since(d.Indexed) < p.cfg.ExpireStray {
			return false, nil
		}
	default:
		_, err := p.apply(ctx, d.Key, op{Delete: true, expired: d.Write})
		if errors.Is(err, heads.ErrNotOwner) || errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotFound) {
			return false, nil // somebody else's, written anew, or gone; the next walk sees
		}
		if err != nil {
			return false, err
		}
		p.counts.expired.Add(1)
	}
	if err := p.expiry.Drop(ctx, d.Expiring); err != nil {
		return false, err
	}
	return true, nil
}
