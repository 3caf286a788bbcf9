package writepath

import (
	"context"
	"errors"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/usage"
)

// before is what is known to be at a key before a write.
type before struct {
	known bool        // otherwise there may be anything
	head  *store.Head // nil if nothing is there
	// expired says that the moment of what is there has come: for all but the store
	// that is nothing.
	expired bool
}

// absent reports whether surely nothing is there.
func (b before) absent() bool { return b.known && (b.head == nil || b.expired) }

// replaced is the head of what is there; zero if none is known.
func (b before) replaced() store.Head {
	if b.head == nil {
		return store.Head{}
	}
	return *b.head
}

// asAbsent is the condition under which the store puts something where nothing is.
func (b before) asAbsent() store.Conditions {
	if b.head == nil {
		return store.Conditions{IfAbsent: true}
	}
	return store.Conditions{IfMatch: b.head.Version}
}

// there is b if something is there, and else that something is there of which
// nothing is known.
func (b before) there() before {
	if b.head == nil {
		return before{}
	}
	return b
}

// known is what is known at the begin of a turn, under a live lease.
func known(turn *heads.Turn) before {
	if !turn.Present || heads.Of(turn.Last, time.Now()).Absent {
		return before{}
	}
	return before{known: true, head: &turn.Last}
}

// look asks the store what is there. Of what is not, or has expired, the error is
// store.ErrNotFound.
func (p *Path) look(ctx context.Context, k keys.Key) (before, error) {
	h, err := p.store.Head(ctx, k.Place())
	switch {
	case errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrArchived):
		return before{known: true}, err
	case err != nil:
		return before{}, err
	}
	was := before{known: true, head: &h}
	if is := heads.Of(h, time.Now()); is.Absent {
		was.expired, err = true, store.Expired{At: is.Expired}
	}
	return was, err
}

// ask is look for a caller who goes on all the same: where the store does not say,
// nothing is known.
func (p *Path) ask(ctx context.Context, k keys.Key) before {
	was, _ := p.look(ctx, k)
	return was
}

// askIfNeeded is ask if it matters what is there: to the org's limits of sizes, or as
// it may have expired. Otherwise nothing is known, and the counts of the org's sizes
// are mended when they are next compared with the bucket.
func (p *Path) askIfNeeded(ctx context.Context, k keys.Key) before {
	if p.cfg.Usage.LimitsSizes(k.Org) || p.expiry.Has(ctx, k.Org) {
		return p.ask(ctx, k)
	}
	return before{}
}

// reserve makes room for a write in its org's limits. The error is usage.ErrQuota. What
// is there is asked for only if that matters: a write that would fit even if nothing
// was there fits.
func (p *Path) reserve(ctx context.Context, k keys.Key, o op, turn *heads.Turn) (*usage.Room, error) {
	if o.Delete {
		return p.cfg.Usage.Reserve(ctx, k, nil, nil)
	}
	is := store.Head{Size: o.size()}
	was := known(turn)
	room, err := p.cfg.Usage.Reserve(ctx, k, was.head, &is)
	if err == nil || was.known {
		return room, err
	}
	if was = p.ask(ctx, k); was.head == nil {
		return nil, err
	}
	return p.cfg.Usage.Reserve(ctx, k, was.head, &is)
}

// size is how long the object is that is put.
func (o op) size() int64 {
	if !o.InParts {
		return int64(len(o.Body))
	}
	n := int64(0)
	for _, part := range o.Parts.Parts {
		n += part.Size
	}
	return n
}

// count tells what was written.
func (p *Path) count(k keys.Key, room *usage.Room, was before, o op, r Result) {
	switch {
	case !was.known && !p.cfg.Usage.LimitsSizes(k.Org):
		room.Cancel()
	case !was.known:
		room.Unknown()
	case o.Delete:
		room.Done(was.head, nil)
	default:
		is := r.Head
		is.Size, is.Writer = o.size(), o.Head.Writer
		room.Done(was.head, &is)
	}
}
