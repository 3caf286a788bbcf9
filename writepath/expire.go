package writepath

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/expiry"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

const (
	// expireEvery is the pause between two walks through what is due.
	expireEvery = 10 * time.Minute
	// expireGrace is how long an expired object stays in the store for those who began
	// to read it in time.
	expireGrace = time.Minute
	// strayAfter is the age from which on an entry without its object is taken for left
	// behind: a write is over by then, and what it left in the store applied or not.
	strayAfter = 10 * time.Minute
	// expireAtOnce objects are removed beside each other.
	expireAtOnce = 8
	// indexLimit bounds the dropping of an entry after a write; what is left, the walk drops.
	indexLimit = 5 * time.Second
)

// momentIn is the moment at which something expires that does so in d: in whole
// seconds, as the store keeps it, and never early.
func momentIn(d time.Duration) time.Time {
	return time.Now().Add(d + time.Second - time.Nanosecond).UTC().Truncate(time.Second)
}

// expiringOf is the entry of a head that has a moment.
func expiringOf(k keys.Key, h store.Head) (e keys.Expiring, ok bool) {
	if h.Expires.IsZero() || !store.IsWriteName(h.Write) {
		return e, false
	}
	return keys.Expiring{Key: k, Moment: h.Expires, Write: h.Write}, true
}

// canExpire returns an error if a put of k that expires cannot be indexed.
func canExpire(k keys.Key, in time.Duration) error {
	if in <= 0 {
		return nil
	}
	_, _, err := keys.Expiring{Key: k, Moment: momentIn(in), Write: store.NewWriteName()}.Places()
	return err
}

// applyExpiring is apply of a put that expires. It is in the index before it is in the
// store, so that nothing which expires is ever missing there.
func (p *Path) applyExpiring(ctx context.Context, k keys.Key, o op) (Result, error) {
	o.Head.Expires, o.Head.Write = momentIn(o.ExpiresIn), store.NewWriteName()
	if err := p.index(ctx, k, o.Head); err != nil {
		return Result{}, err
	}
	r, err := p.inTurn(ctx, k, o)
	if err != nil && !errors.Is(err, ErrUnknown) {
		p.unindex(k, o.Head)
	}
	return r, err
}

// index adds a write to the index, if it expires.
func (p *Path) index(ctx context.Context, k keys.Key, h store.Head) error {
	e, ok := expiringOf(k, h)
	if !ok {
		return nil
	}
	if err := p.expiry.Add(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	return nil
}

// unindex drops the entry of a write that is not in the store, or not any more.
func (p *Path) unindex(k keys.Key, gone store.Head) {
	e, ok := expiringOf(k, gone)
	if !ok {
		return
	}
	p.drops.Go(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), indexLimit)
		defer cancel()
		if err := p.expiry.Drop(ctx, e); err != nil {
			p.log.Debug().Err(err).Stringer("key", k).Msg("expiry of an old version not dropped, left to the walk")
		}
		return nil
	})
}

// overExpired puts where something is that the store takes for an object, and whose
// moment has come. Its error is the one that it was given if there is no such thing, and
// ErrNotApplied if the store does not say.
func (p *Path) overExpired(ctx context.Context, k keys.Key, w store.Write, refused error) (Result, before, error) {
	if !p.expiry.Has(ctx, k.Org) {
		return Result{}, before{}, refused
	}
	was, err := p.look(ctx, k)
	switch {
	case isUnknown(err):
		return Result{}, was, fmt.Errorf("%w: %w", ErrNotApplied, err)
	case !was.expired:
		return Result{}, was, refused
	}
	w.Conditions = p.store.Traits().Held(was.asAbsent())
	put, err := p.store.Put(ctx, k.Place(), w)
	return Result{Head: put, Created: true}, was, err
}

// removeExpired removes an object from the store, in the key's turn, if it is still
// the one that this write put there, and its own moment has come.
func (p *Path) removeExpired(ctx context.Context, k keys.Key, write string) (Result, before, error) {
	h, err := p.store.Head(ctx, k.Place())
	if err != nil {
		return Result{}, before{}, fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	was := before{known: true, head: &h}
	if !p.isRemovable(h, write) {
		return Result{}, was, fmt.Errorf("%s is another by now: %w", k, store.ErrPrecondition)
	}
	return Result{}, was, p.store.DeleteVersion(ctx, k.Place(), h.Version)
}

func (p *Path) isRemovable(h store.Head, write string) bool {
	return h.Write == write && heads.Of(h, time.Now().Add(-p.cfg.ExpireGrace)).Absent
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
// somebody else may own the same keys.
func (p *Path) expireOnce(ctx context.Context) (removed int64, err error) {
	if !p.heads.Settled() {
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
