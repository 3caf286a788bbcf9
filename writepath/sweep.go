package writepath

import (
	"context"
	"errors"
	"sync"
	"time"

	"larder/keys"
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
)

// Run sweeps, and removes what has expired, until ctx ends.
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
