package writepath

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// apply is a write at the key's owner.
func (p *Path) apply(ctx context.Context, k keys.Key, o op) (Result, error) {
	if o.ExpiresIn > 0 {
		return p.applyExpiring(ctx, k, o)
	}
	return p.inTurn(ctx, k, o)
}

// inTurn does a write: take turns, revoke, upload, publish, keep the bytes.
func (p *Path) inTurn(ctx context.Context, k keys.Key, o op) (Result, error) {
	turn, err := p.heads.Begin(ctx, k, o.abandoned)
	if errors.Is(err, heads.ErrNotOwner) {
		return Result{}, err
	}
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	outcome := heads.Outcome{}
	defer func() { turn.End(outcome) }()

	if err := p.revoke(ctx, k, turn.Began); err != nil {
		return Result{}, err
	}
	if err := turn.Upload(time.Now()); err != nil {
		return Result{}, err
	}
	outcome.Unknown = true // until the store has answered
	r, err := p.write(ctx, k, o, turn.Present && !heads.Of(turn.Last, time.Now()).Absent)
	if err != nil {
		if errors.Is(err, store.ErrNotWritten) {
			err = fmt.Errorf("%w: %w", ErrNotApplied, err)
		}
		outcome.Unknown = isUnknown(err) && !errors.Is(err, ErrNotApplied)
		if outcome.Unknown {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return Result{}, err
	}
	if whole := !o.Delete && !o.InParts; !p.heads.Must(k, !whole || r.Head.Size == int64(len(o.Body)), "what was written is as long as what came") ||
		!p.heads.Must(k, o.Delete || r.Head.Version != "", "what was written has a version") {
		return Result{}, fmt.Errorf("write %s: %w", k, ErrUnknown)
	}
	outcome = heads.Outcome{Done: true, Known: heads.Of(r.Head, time.Now())}
	if o.Delete {
		outcome.Known = heads.Known{Absent: true, Expired: r.expired(o)}
	}
	p.dropReplaced(k, o, turn.Last, r.replaced)
	if len(o.Body) > 0 {
		if err := p.memory.Prime(ctx, k, r.Head, 0, o.Body); err != nil {
			p.log.Debug().Err(err).Stringer("key", k).Msg("written bytes not kept in memory")
		}
	}
	return r, nil
}

// dropReplaced removes what lies beside versions that are there no more.
func (p *Path) dropReplaced(k keys.Key, o op, last, replaced store.Head) {
	p.dropSums(k, last)
	if last.Write != replaced.Write {
		p.dropSums(k, replaced)
		p.unindex(k, replaced)
	}
	if last.Write != o.expired { // the entry of what the walk removes is its own
		p.unindex(k, last)
	}
}

// isUnknown reports whether a write that failed so may have happened all the same.
func isUnknown(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// write changes the store. present says that the key is known to be there.
func (p *Path) write(ctx context.Context, k keys.Key, o op, present bool) (Result, error) {
	if o.expired != "" {
		return p.removeExpired(ctx, k, o.expired)
	}
	traits := p.store.Traits()
	cond, was, absent, err := p.conditions(ctx, k, o, traits, present)
	if isUnknown(err) {
		err = fmt.Errorf("%w: %w", ErrNotApplied, err) // the store was only asked
	}
	if err != nil {
		return Result{}, err
	}
	if !o.Delete && !o.InParts {
		o.Head.Modified = dateOf(time.Now()) // dates are in the order of the writes, though each has waited
		p.counts.whole.Add(1)
		defer p.counts.whole.Add(-1)
	}
	switch w := (store.Write{Head: o.Head, Body: o.Body, Conditions: traits.Held(cond)}); {
	case o.Delete:
		return Result{replaced: was}, p.store.Delete(ctx, k.Place())
	case o.InParts:
		h, err := p.store.Complete(ctx, o.Parts.Upload, o.Parts.Parts, traits.HeldByComplete(cond))
		return Result{Head: h, Created: absent, replaced: was}, err
	case cond == store.Conditions{} && !present && traits.PutIfAbsent:
		return p.putNew(ctx, k, w)
	default:
		h, err := p.store.Put(ctx, k.Place(), w)
		if w.IfAbsent && errors.Is(err, store.ErrPrecondition) {
			return p.overExpired(ctx, k, w, err)
		}
		return Result{Head: h, Created: absent, replaced: was}, err
	}
}

// dateOf is a time as the store keeps it.
func dateOf(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// putNew puts an object that is likely new. The store does not say whether a
// put replaced something, so it is asked to create first: one request for a
// new key, two for one that is replaced without having been read lately, three if the
// org has objects that expire: what has expired is not replaced.
func (p *Path) putNew(ctx context.Context, k keys.Key, w store.Write) (Result, error) {
	w.IfAbsent = true
	h, err := p.store.Put(ctx, k.Place(), w)
	if !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrConflict) {
		return Result{Head: h, Created: true}, err
	}
	w.IfAbsent = false
	var r Result
	if p.expiry.Has(ctx, k.Org) {
		if was, failed := p.store.Head(ctx, k.Place()); failed == nil { // else it is only not known
			r.replaced, r.Created = was, heads.Of(was, time.Now()).Absent
		}
	}
	r.Head, err = p.store.Put(ctx, k.Place(), w)
	return r, err
}

// conditions turns what the caller demands into what the store is told, and
// reports whether nothing was there, and what was if it was asked. Where the store has
// no such condition, or was not seen to hold it, it is asked what is there; the owner's
// turn keeps that from changing until the write. It does not know what has expired: that
// is absent, and yet has to be replaced.
func (p *Path) conditions(ctx context.Context, k keys.Key, o op, traits store.Traits, present bool) (c store.Conditions, was store.Head, absent bool, err error) {
	put := !o.Delete && !o.InParts
	switch {
	case put && o.IfAbsent && traits.PutIfAbsent:
		return store.Conditions{IfAbsent: true}, was, true, nil
	case put && len(o.IfMatch) == 1 && o.IfMatch[0] != "*" && traits.PutIfMatch && (present || !p.expiry.Has(ctx, k.Org)):
		return store.Conditions{IfMatch: o.IfMatch[0]}, was, false, nil
	case put && !o.IfAbsent && len(o.IfMatch) == 0 && (present || traits.PutIfAbsent):
		return store.Conditions{}, was, false, nil
	}
	was, err = p.store.Head(ctx, k.Place())
	if is := heads.Of(was, time.Now()); err == nil && is.Absent {
		err = store.Expired{At: is.Expired}
	}
	absent = errors.Is(err, store.ErrNotFound)
	switch {
	case errors.Is(err, store.ErrArchived) && o.Delete:
		return c, was, false, nil // nobody can read it, and it can be removed
	case absent && len(o.IfMatch) > 0:
		return c, was, true, fmt.Errorf("%s is not there: %w", k, store.ErrPrecondition)
	case absent && !o.Delete && o.IfAbsent:
		return store.Conditions{IfAbsent: was.Version == "", IfMatch: was.Version}, was, true, nil
	case absent && !o.Delete:
		return c, was, true, nil
	case err != nil:
		return c, was, absent, err
	case o.IfAbsent:
		return c, was, false, fmt.Errorf("%s is there already: %w", k, store.ErrPrecondition)
	case len(o.IfMatch) == 0:
		return c, was, false, nil
	case !slices.Contains(o.IfMatch, "*") && !slices.Contains(o.IfMatch, was.Version):
		return c, was, false, fmt.Errorf("%s has version %q now: %w", k, was.Version, store.ErrPrecondition)
	}
	return store.Conditions{IfMatch: was.Version}, was, false, nil
}
