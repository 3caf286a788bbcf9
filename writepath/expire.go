package writepath

import (
	"context"
	"fmt"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// indexLimit bounds the dropping of an entry after a write; what is left, the walk drops.
const indexLimit = 5 * time.Second

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
	traits := p.store.Traits()
	put, err := p.demand(ctx, k, traits, traits.Told(was.asAbsent()), func(c store.Conditions) (store.Head, error) {
		w.Conditions = c
		return p.store.Put(ctx, k.Place(), w)
	})
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
