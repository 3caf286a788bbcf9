package writepath

import (
	"context"
	"crypto/sha256"
	"errors"
	"path"
	"time"

	"larder/keys"
	"larder/store"
)

const (
	// sumsLimit bounds the writing of a list of digests, and its removal. Nothing
	// depends on either.
	sumsLimit = 5 * time.Second
	// sumsPage is how many lists are looked through at once.
	sumsPage = 1000
)

// digests are those of the chunks of b.
func digests(b []byte, chunk int64) (all [][sha256.Size]byte) {
	for len(b) > 0 {
		n := min(int64(len(b)), chunk)
		all = append(all, sha256.Sum256(b[:n]))
		b = b[n:]
	}
	return all
}

// putSums leaves the digests of the chunks of what one write brings in the store, before the
// object becomes visible. Without them its chunks cannot be compared with what was
// written, but can be read.
func (p *Path) putSums(ctx context.Context, k keys.Key, write string, s store.Sums) {
	ctx, cancel := context.WithTimeout(ctx, sumsLimit)
	defer cancel()
	if _, err := p.store.Put(ctx, keys.Sums(k.Org, write), store.Write{Body: s.Bytes()}); err != nil {
		p.log.Warn().Err(err).Stringer("key", k).Msg("digests of an object not kept, its chunks cannot be verified")
	}
}

// dropSums removes the digests of what is there no more. What stays behind is
// found by the sweep.
func (p *Path) dropSums(k keys.Key, gone store.Head) {
	if gone.Piece == 0 || !store.IsWriteName(gone.Write) {
		return
	}
	p.drops.Go(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), sumsLimit)
		defer cancel()
		if err := p.store.Delete(ctx, keys.Sums(k.Org, gone.Write)); err != nil {
			p.log.Debug().Err(err).Stringer("key", k).Msg("digests of an old version not removed, left to the sweep")
		}
		return nil
	})
}

// sweepSums removes the lists of digests that were written before a time and whose
// objects are there no more. Each node looks through the lists that the ring gives
// to it. One that cannot be looked at does not keep the others.
func (p *Path) sweepSums(ctx context.Context, before time.Time) (n int, err error) {
	for after, more := "", true; more; {
		var lists []store.Entry
		var failed error
		if lists, more, failed = p.store.List(ctx, keys.SumsRoot, after, sumsPage); failed != nil {
			return n, errors.Join(err, failed)
		}
		for _, l := range lists {
			after = l.Name
			if _, self := p.cluster.Owner(keys.HashMember(l.Name)); !self || !l.Modified.Before(before) {
				continue
			}
			gone, failed := p.sweepList(ctx, l.Name)
			if gone {
				n++
			}
			err = errors.Join(err, failed)
		}
	}
	return n, err
}

// sweepList removes a list of digests if its object is another write's by now.
func (p *Path) sweepList(ctx context.Context, name string) (gone bool, err error) {
	_, b, err := p.store.Get(ctx, name, store.SumsName, nil)
	if err != nil {
		return false, err
	}
	s, _ := store.ParseSums(b) // the beginning is enough
	if s.Name == "" {
		return false, nil // not a list of ours
	}
	h, err := p.store.Head(ctx, s.Name)
	if err == nil && h.Write == path.Base(name) {
		return false, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	return true, p.store.Delete(ctx, name)
}
