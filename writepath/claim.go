package writepath

import (
	"context"
	"errors"
	"fmt"
	"time"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// tellOwnerLimit bounds the telling of a new owner.
const tellOwnerLimit = 2 * time.Second

// errEnded refuses a write whose claim was ended by another.
var errEnded = errors.New("a write has ended this claim")

// claimed is what a write under a claim demands of the store.
//
// Rule 21: it is done only if the key still holds what it held when the claim was
// granted. The store is asked, in the write's turn, and is given the condition too.
func (p *Path) claimed(ctx context.Context, k keys.Key, c Claim, holdsAbsent bool) (cond store.Conditions, is before, err error) {
	if c.absent() && holdsAbsent {
		return store.Conditions{IfAbsent: true}, before{known: true}, nil
	}
	is, err = p.look(ctx, k)
	absent := errors.Is(err, store.ErrNotFound)
	switch {
	case err != nil && !absent:
		return cond, is, err
	case absent && c.absent():
		return is.asAbsent(), is, nil
	case absent || !c.isOf(*is.head):
		return cond, is, fmt.Errorf("%s is not what it was when the claim was granted: %w", k, store.ErrPrecondition)
	}
	return store.Conditions{IfMatch: is.head.Version}, is, nil
}

// lost answers a write that its claim does not allow. If what is there was written
// under the same claim, of the same bytes, that was this write, sent before.
func (p *Path) lost(ctx context.Context, k keys.Key, o op, why error) (Result, error) {
	h, err := p.store.Head(ctx, k.Place())
	absent := errors.Is(err, store.ErrNotFound)
	switch {
	case err == nil && h.Claim == o.Claim.Name && h.Digest != "" && h.Digest == o.Head.Digest:
		return Result{Head: h, Created: o.Claim.absent(), Repeated: true}, nil
	case err != nil && !absent:
		return Result{}, fmt.Errorf("%w: %w", ErrNotApplied, err)
	case errors.Is(why, store.ErrConflict) && (absent && o.Claim.absent() || err == nil && o.Claim.isOf(h)):
		return Result{}, why // another writer was refused too
	}
	p.cfg.Claims.Fenced(k, o.Head.Writer, o.Claim.Name)
	return Result{Head: h}, fmt.Errorf("write %s: %w: %w", k, ErrClaimLost, why)
}

// tellOwner tells the owner that the key has now of a write that was done elsewhere: it
// may have granted a claim meanwhile.
func (p *Path) tellOwner(ctx context.Context, was cluster.Member, k keys.Key, o op, r Result) {
	if now, _ := p.cluster.Owner(k.Hash()); now.ID == was.ID {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellOwnerLimit)
	defer cancel()
	p.cfg.Claims.Wrote(ctx, k, o.claim(), heads.Known{Absent: o.Delete, Head: r.Head})
}
