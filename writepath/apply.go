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

// inTurn does a write: take turns, revoke, upload, publish, keep the bytes.
func (p *Path) inTurn(ctx context.Context, k keys.Key, o op) (Result, error) {
	turn, err := p.heads.Begin(ctx, k, o.abandoned)
	if errors.Is(err, heads.ErrNotOwner) {
		return Result{}, err
	}
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	outcome, marked := heads.Outcome{}, false
	defer func() {
		if marked {
			p.cfg.Claims.Unmark(k, o.claim(), o.asOthersSee(outcome))
		}
	}()
	defer func() { turn.End(outcome) }()

	room, err := p.reserve(ctx, k, o, turn)
	if err != nil {
		return Result{}, err
	}
	defer room.Cancel()
	revoked, err := p.endLeases(ctx, k, turn)
	if err != nil {
		return Result{}, err
	}
	if err := turn.Upload(revoked); err != nil {
		return Result{}, err
	}
	if marked = p.cfg.Claims.Mark(k, o.claim()); !marked {
		return p.lost(ctx, k, o, errEnded)
	}
	outcome.Unknown = true // until the store has answered
	r, was, err := p.write(ctx, k, o, known(turn))
	if o.Claim != nil && (errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrConflict)) {
		outcome.Unknown = false
		return p.lost(ctx, k, o, err)
	}
	if err == nil && !p.isSound(k, o, r) {
		err = store.ErrUnavailable // it has answered, and not to what was asked
	}
	if err != nil {
		outcome.Unknown, err = mayHappen(err)
		if outcome.Unknown {
			room.Unknown()
		}
		return Result{}, err
	}
	outcome = heads.Outcome{Done: true, Known: heads.Of(r.Head, time.Now())}
	if o.Delete {
		outcome.Known = heads.Known{Absent: true, Expired: o.expiredAt(was)}
	}
	p.count(k, room, was, o, r)
	p.dropReplaced(k, o, turn.Last, was.replaced())
	if len(o.Body) > 0 {
		if err := p.memory.Prime(ctx, k, r.Head, 0, o.Body); err != nil {
			p.log.Debug().Err(err).Stringer("key", k).Msg("written bytes not kept in memory")
		}
	}
	return r, nil
}

// isSound reports whether what the store says that it has written is what it was given.
func (p *Path) isSound(k keys.Key, o op, r Result) bool {
	whole := !o.Delete && !o.InParts
	return p.heads.Must(k, !whole || r.Head.Size == int64(len(o.Body)), "what was written is as long as what came") &&
		p.heads.Must(k, o.Delete || r.Head.Version != "", "what was written has a version")
}

// mayHappen reports whether a write that the store has failed with err may have
// happened, or still happen, and returns the error that says so.
func mayHappen(err error) (bool, error) {
	switch {
	case errors.Is(err, store.ErrNotWritten):
		return false, fmt.Errorf("%w: %w", ErrNotApplied, err)
	case isUnknown(err) && !errors.Is(err, ErrNotApplied):
		return true, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return false, err
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

// expiredAt is when what was there expired, of a write that removes it for that; else
// zero.
func (o op) expiredAt(was before) time.Time {
	if o.expired == "" {
		return time.Time{}
	}
	return was.replaced().Expires
}

// asOthersSee is what a write changes for others: to remove what has expired is
// nothing.
func (o op) asOthersSee(outcome heads.Outcome) heads.Outcome {
	if o.expired != "" {
		return heads.Outcome{}
	}
	return outcome
}

// write changes the store. was is what is known to be there, and comes back with
// what was learnt of that.
func (p *Path) write(ctx context.Context, k keys.Key, o op, was before) (Result, before, error) {
	if o.expired != "" {
		return p.removeExpired(ctx, k, o.expired)
	}
	if o.drop != nil {
		return p.removeIf(ctx, k, o)
	}
	traits := p.store.Traits()
	present := was.head != nil
	cond, was, err := p.conditions(ctx, k, o, traits, was)
	if isUnknown(err) {
		err = fmt.Errorf("%w: %w", ErrNotApplied, err) // the store was only asked
	}
	if err != nil {
		return Result{}, was, err
	}
	if !o.Delete && !o.InParts {
		o.Head.Modified = dateOf(time.Now()) // dates are in the order of the writes, though each has waited
		p.counts.whole.Add(1)
		defer p.counts.whole.Add(-1)
	}
	switch w := (store.Write{Head: o.Head, Body: o.Body, Conditions: traits.Told(cond)}); {
	case o.Delete:
		return Result{}, was, p.store.Delete(ctx, k.Place())
	case o.InParts:
		h, err := p.demand(ctx, k, traits, traits.ToldByComplete(cond), func(c store.Conditions) (store.Head, error) {
			return p.store.Complete(ctx, o.Parts.Upload, o.Parts.Parts, c)
		})
		return Result{Head: h, Created: was.absent()}, was, err
	case cond == store.Conditions{} && !present && traits.PutIfAbsent:
		return p.putNew(ctx, k, w)
	default:
		h, err := p.demand(ctx, k, traits, w.Conditions, func(c store.Conditions) (store.Head, error) {
			w.Conditions = c
			return p.store.Put(ctx, k.Place(), w)
		})
		if w.IfAbsent && errors.Is(err, store.ErrPrecondition) {
			return p.overExpired(ctx, k, w, err)
		}
		return Result{Head: h, Created: was.absent()}, was, err
	}
}

// demand writes under conditions that the store is told. One that may be unable to hold them,
// and refuses the write, is asked whether they hold: then the write is done without.
func (p *Path) demand(
	ctx context.Context, k keys.Key, traits store.Traits, c store.Conditions, write func(store.Conditions) (store.Head, error),
) (store.Head, error) {
	h, err := write(c)
	refused := errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrUnexpected)
	if traits.Sure || c == (store.Conditions{}) || !refused {
		return h, err
	}
	is, lookErr := p.look(ctx, k)
	if c.IfAbsent && !errors.Is(lookErr, store.ErrNotFound) || c.IfMatch != "" && (is.head == nil || is.head.Version != c.IfMatch) {
		return h, err
	}
	return write(store.Conditions{})
}

// dateOf is a time as the store keeps it.
func dateOf(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// putNew puts an object that is likely new. The store does not say whether a
// put replaced something, so it is asked to create first: one request for a
// new key, two for one that is replaced without having been read lately, and three
// if it matters what is replaced: to limits of sizes, or as it may have expired.
func (p *Path) putNew(ctx context.Context, k keys.Key, w store.Write) (Result, before, error) {
	w.IfAbsent = true
	h, err := p.store.Put(ctx, k.Place(), w)
	if !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrConflict) {
		return Result{Head: h, Created: true}, before{known: true}, err
	}
	was := p.askIfNeeded(ctx, k)
	w.IfAbsent = false
	h, err = p.store.Put(ctx, k.Place(), w)
	return Result{Head: h, Created: was.absent()}, was, err
}

// conditions turns what the caller demands into what the store is told, and
// returns what is known to be there. Where the store has no such condition, or
// was not seen to hold it, it is asked what is there; the owner's turn keeps that
// from changing until the write. The store does not know what has expired: that is
// absent, and yet has to be replaced.
func (p *Path) conditions(ctx context.Context, k keys.Key, o op, traits store.Traits, was before) (c store.Conditions, is before, err error) {
	present := was.head != nil
	put := !o.Delete && !o.InParts
	if o.Claim != nil {
		return p.claimed(ctx, k, *o.Claim, put && traits.PutIfAbsent)
	}
	switch {
	case put && o.IfAbsent && traits.PutIfAbsent:
		return store.Conditions{IfAbsent: true}, before{known: true}, nil
	case put && len(o.IfMatch) == 1 && o.IfMatch[0] != "*" && traits.PutIfMatch && (present || !p.expiry.Has(ctx, k.Org)):
		if !present || was.head.Version != o.IfMatch[0] {
			was = p.askIfNeeded(ctx, k)
		}
		return store.Conditions{IfMatch: o.IfMatch[0]}, was.there(), nil
	case put && !o.IfAbsent && len(o.IfMatch) == 0 && (present || traits.PutIfAbsent):
		return store.Conditions{}, was.there(), nil
	}
	is, err = p.look(ctx, k)
	absent := errors.Is(err, store.ErrNotFound)
	switch {
	case errors.Is(err, store.ErrArchived) && o.Delete:
		return c, before{}, nil // nobody can read it, and it can be removed
	case absent && len(o.IfMatch) > 0:
		return c, is, fmt.Errorf("%s is not there: %w", k, store.ErrPrecondition)
	case absent && !o.Delete && o.IfAbsent:
		return is.asAbsent(), is, nil
	case absent && !o.Delete:
		return c, is, nil
	case err != nil:
		return c, is, err
	case o.IfAbsent:
		return c, is, fmt.Errorf("%s is there already: %w", k, store.ErrPrecondition)
	case len(o.IfMatch) == 0:
		return c, is, nil
	case !slices.Contains(o.IfMatch, "*") && !slices.Contains(o.IfMatch, is.head.Version):
		return c, is, fmt.Errorf("%s has version %q now: %w", k, is.head.Version, store.ErrPrecondition)
	}
	return store.Conditions{IfMatch: is.head.Version}, is, nil
}
