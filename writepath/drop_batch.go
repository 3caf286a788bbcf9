package writepath

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/usage"
)

const (
	// listFrom is from how many keys on their range is listed instead of asking for the
	// head of each.
	listFrom = 8
	// dropHeadsAtOnce heads are asked for at once.
	dropHeadsAtOnce = 32
)

// doomed is a key of a batch at its owner, with its turn.
type doomed struct {
	key     keys.Key
	out     *Dropped
	turn    *heads.Turn
	room    *usage.Room
	marked  bool // and Claims were told so
	outcome heads.Outcome
	was     before
	partial bool // of what is there only the version, the size and the dates are known
}

// dropOwned drops keys at their owner: all whose turn is free with one revocation, one
// look and one removal, and then each that somebody else is writing, here or at another
// node, by itself: so nobody waits for others while he holds turns.
func (p *Path) dropOwned(ctx context.Context, d Drop, ks []keys.Key, abandoned func() bool) []Dropped {
	out := make([]Dropped, len(ks))
	all := make([]*doomed, len(ks))
	for i, k := range ks {
		all[i] = &doomed{key: k, out: &out[i]}
	}
	if d.Dry {
		p.judge(ctx, d, p.owned(all))
		return out
	}
	taken := p.dropBatch(ctx, d, all, abandoned)
	var g errgroup.Group
	g.SetLimit(dropsAtOnce)
	for _, x := range taken {
		g.Go(func() error {
			_, x.out.Err = p.inTurn(ctx, x.key, op{Delete: true, drop: &d, dropped: x.out, abandoned: abandoned})
			if errors.Is(x.out.Err, store.ErrNotFound) {
				x.out.Err = nil
			}
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	return out
}

// owned are the keys that this node owns; the others are ErrNotOwner.
func (p *Path) owned(all []*doomed) (own []*doomed) {
	for _, x := range all {
		if _, self := p.cluster.Owner(x.key.Hash()); !self {
			x.out.Err = heads.ErrNotOwner
			continue
		}
		own = append(own, x)
	}
	return own
}

// dropBatch is inTurn for many keys at once. It returns those that somebody else is
// writing, which are not touched.
func (p *Path) dropBatch(ctx context.Context, d Drop, all []*doomed, abandoned func() bool) (taken []*doomed) {
	var batch []*doomed // those whose turn this is
	defer func() {
		for _, x := range batch {
			x.turn.End(x.outcome)
			if x.marked {
				p.cfg.Claims.Unmark(x.key, "", x.outcome)
			}
			x.room.Cancel()
		}
	}()
	for _, x := range all {
		x.turn, x.out.Err = p.heads.BeginNow(x.key, abandoned)
		switch {
		case x.out.Err != nil:
		case x.turn == nil:
			taken = append(taken, x)
		default:
			batch = append(batch, x)
			x.room, _ = p.cfg.Usage.Reserve(ctx, x.key, nil, nil) // nothing needs no room
		}
	}
	if len(batch) == 0 {
		return taken
	}
	busy, at, err := p.revokeAll(ctx, batch)
	marked := p.markAll(batch, busy, at, err)
	for _, x := range batch {
		if busy[x.key.Place()] && err == nil {
			taken = append(taken, x)
		}
	}
	p.remove(ctx, p.judge(ctx, d, marked))
	return taken
}

// revokeAll is revoke for the keys of a batch, with one question to each member. busy
// are the places of those that a member is writing itself.
func (p *Path) revokeAll(ctx context.Context, batch []*doomed) (busy map[string]bool, at time.Time, err error) {
	if at = time.Now(); !slices.ContainsFunc(batch, func(x *doomed) bool { return x.turn.MayBeLeased() }) {
		return nil, at, nil
	}
	ks := make([]keys.Key, len(batch))
	began := batch[0].turn.Began
	for i, x := range batch {
		ks[i] = x.key
		if x.turn.Began.After(began) {
			began = x.turn.Began
		}
	}
	body := linesOf(ks)
	var mu sync.Mutex // guards busy
	busy = map[string]bool{}
	err = p.revoked(ctx, ks[0], began, func(ctx context.Context, members []cluster.Member) []cluster.Ack {
		acks := make([]cluster.Ack, len(members))
		var asking sync.WaitGroup
		for i, m := range members {
			acks[i].Member = m
			asking.Go(func() {
				a, err := p.cluster.Ask(ctx, m, cluster.Question{Route: heads.RevokeManyRoute, Body: body})
				if err == nil && a.Status != http.StatusOK {
					err = fmt.Errorf("%s: %w", m.Name, &cluster.Refused{Status: a.Status, Detail: string(a.Text)})
				}
				if acks[i].Err = err; err != nil || len(a.Text) == 0 {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for place := range strings.SplitSeq(string(a.Text), "\n") {
					busy[place] = true
				}
			})
		}
		asking.Wait()
		return acks
	})
	return busy, time.Now(), err
}

// markAll marks the keys of a batch that nobody else writes, after their revocation,
// and returns them.
func (p *Path) markAll(batch []*doomed, busy map[string]bool, at time.Time, revoked error) (marked []*doomed) {
	for _, x := range batch {
		if x.out.Err = revoked; revoked != nil || busy[x.key.Place()] {
			continue
		}
		if x.out.Err = x.turn.Upload(at); x.out.Err != nil {
			continue
		}
		x.marked = p.cfg.Claims.Mark(x.key, "")
		marked = append(marked, x)
	}
	return marked
}

// judge finds out what is there, and returns the keys whose objects are to be removed.
// In the keys' turns nobody changes that any more.
func (p *Path) judge(ctx context.Context, d Drop, batch []*doomed) (gone []*doomed) {
	p.lookAll(ctx, d, batch)
	for _, x := range batch {
		if x.out.Err != nil || x.was.absent() {
			continue
		}
		takes, err := d.takes(x.was.replaced())
		if x.out.Err = err; !takes || err != nil {
			continue
		}
		gone = append(gone, x)
		if d.Dry {
			x.out.Done, x.out.Bytes = true, x.was.replaced().Size
		}
	}
	return gone
}

// takes reports whether an object is one of those that are to be removed. One of which
// nothing is known but that it is there, since nobody can read it, has no writer.
func (d Drop) takes(h store.Head) (bool, error) {
	switch {
	case !d.IsBefore(h.Modified):
		return false, nil
	case d.Writer != "" && h.Writer != d.Writer:
		return false, nil
	case d.Own != "" && h.Writer != d.Own:
		return false, ErrNotOwn
	}
	return true, nil
}

// lookAll finds out what is there of each key: what this node knows under a live lease,
// then a listing for many of the others, and then the heads that are needed whole, or
// were not listed.
func (p *Path) lookAll(ctx context.Context, d Drop, batch []*doomed) {
	var unknown []*doomed
	for _, x := range batch {
		if x.turn != nil {
			x.was = known(x.turn)
		} else if is, ok := p.heads.Owned(x.key); ok && !is.Absent {
			x.was = before{known: true, head: &is.Head}
		}
		if !x.was.known {
			unknown = append(unknown, x)
		}
	}
	if len(unknown) >= listFrom {
		if err := p.listAll(ctx, d, unknown); err != nil {
			for _, x := range unknown {
				x.out.Err = fmt.Errorf("%w: %w", ErrNotApplied, err)
			}
			return
		}
	}
	var g errgroup.Group
	g.SetLimit(dropHeadsAtOnce)
	for _, x := range unknown {
		if !x.partial || p.needsHead(d, *x.was.head) {
			g.Go(func() error { p.lookOne(ctx, x); return nil })
		}
	}
	_ = g.Wait() // each has its own error
}

// needsHead reports whether what a listing says of an object is not enough: its writer
// matters, or there are lists of digests or entries of the index to be removed with it.
func (p *Path) needsHead(d Drop, h store.Head) bool {
	return d.Writer != "" || d.Own != "" || h.Size > p.cfg.ChunkSize || !h.Expires.IsZero()
}

// lookOne asks for the head of a key.
func (p *Path) lookOne(ctx context.Context, x *doomed) {
	listed := x.was
	was, err := p.look(ctx, x.key)
	switch {
	case errors.Is(err, store.ErrArchived):
		if was = listed; was.head == nil {
			was = before{known: true, head: &store.Head{}}
		}
	case errors.Is(err, store.ErrNotFound): // it may have expired
		was = before{known: true}
	case err != nil:
		x.out.Err = fmt.Errorf("%w: %w", ErrNotApplied, err)
		return
	}
	x.was, x.partial = was, false
}

// listAll lists the range of the keys, and takes from it what is there.
func (p *Path) listAll(ctx context.Context, d Drop, batch []*doomed) error {
	at := make(map[string]*doomed, len(batch))
	last := ""
	for _, x := range batch {
		at[x.key.Place()] = x
		last = max(last, x.key.Place())
	}
	for after, more := d.After, true; more && after < last; {
		var entries []store.Entry
		var err error
		if entries, more, err = p.expiry.List(ctx, d.Prefix, after, MaxDrop); err != nil {
			return err
		}
		for _, e := range entries {
			after = e.Name
			if x := at[e.Name]; x != nil {
				h := store.Head{Version: e.Version, Size: e.Size, Modified: e.Modified, Expires: e.Expires}
				x.was, x.partial = before{known: true, head: &h}, true
			}
		}
	}
	return nil
}

// remove removes objects from the store with one request, under the marks of their keys.
func (p *Path) remove(ctx context.Context, batch []*doomed) {
	if len(batch) == 0 {
		return
	}
	names := make([]string, len(batch))
	for i, x := range batch {
		names[i] = x.key.Place()
		x.outcome.Unknown = true // until the store has answered
	}
	for i, err := range p.store.DeleteMany(ctx, names) {
		x := batch[i]
		if err != nil {
			if x.outcome.Unknown, x.out.Err = mayHappen(err); x.outcome.Unknown {
				x.room.Unknown()
			}
			continue
		}
		x.outcome = heads.Outcome{Done: true, Known: heads.Known{Absent: true}}
		x.out.Done, x.out.Bytes = true, x.was.replaced().Size
		p.counts.dropped.Add(1)
		x.room.Gone(x.was.replaced(), !x.partial)
		p.dropReplaced(x.key, op{Delete: true}, x.turn.Last, x.was.replaced())
	}
}

// removeIf removes one object, in the key's turn, if it is one of those to be removed.
func (p *Path) removeIf(ctx context.Context, k keys.Key, o op) (Result, before, error) {
	x := &doomed{key: k, out: o.dropped}
	p.lookOne(ctx, x)
	if x.out.Err != nil {
		return Result{}, x.was, x.out.Err
	}
	takes := !x.was.absent()
	if takes {
		var err error
		if takes, err = o.drop.takes(x.was.replaced()); err != nil {
			return Result{}, x.was, err
		}
	}
	if !takes {
		return Result{}, x.was, fmt.Errorf("%s is not to be removed: %w", k, store.ErrNotFound)
	}
	err := p.store.Delete(ctx, k.Place())
	if err == nil {
		o.dropped.Done, o.dropped.Bytes = true, x.was.replaced().Size
		p.counts.dropped.Add(1)
	}
	return Result{}, x.was, err
}
