package expiry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/keys"
	"larder/store"
)

// headsAtOnce is how many objects of a listing are asked for at once.
const headsAtOnce = 16

// List lists objects as the store does, with the moment at which each expires and
// without those that have. Of an org that has none that expire it is the store's own
// listing. after is a name that was listed.
func (x *Index) List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error) {
	org, _, _ := strings.Cut(strings.TrimPrefix(prefix, keys.Root), "/")
	for {
		entries, more, err = x.store.List(ctx, prefix, after, limit)
		if err != nil || len(entries) == 0 || !x.Has(ctx, org) {
			return entries, more, err
		}
		after = entries[len(entries)-1].Name
		if entries, err = x.judge(ctx, prefix, entries); err != nil || len(entries) > 0 || !more {
			return entries, more, err
		}
	}
}

// Soon returns entries of an org whose moment comes until some time, the soonest first, and
// reports whether there may be more. It looks through the index by hour, which has the
// entries of all orgs; if that has more than most entries until then, it also looks through
// as many of the index by key, which has the org's alone. So the entries of other orgs
// cannot hide all of an org's. The object of an entry may have been written anew since.
func (x *Index) Soon(ctx context.Context, org string, until time.Time, most int) (soon []keys.Expiring, more bool, err error) {
	now := time.Now()
	take := func(e keys.Expiring) {
		if e.Key.Org == org && e.Moment.After(now) && !e.Moment.After(until) {
			soon = append(soon, e)
		}
	}
	more, err = x.each(ctx, keys.ExpiringRoot, keys.ExpiringFrom(now), most, func(entry store.Entry) bool {
		e, err := keys.ExpiringFromHour(entry.Name)
		if err == nil {
			take(e)
		}
		return err != nil || !e.Moment.After(until)
	})
	if err != nil || !more {
		return soon, false, err
	}
	more, err = x.each(ctx, keys.ExpiringOrg(org), "", most, func(entry store.Entry) bool {
		if e, err := keys.ExpiringFromKey(entry.Name); err == nil {
			take(e)
		}
		return true
	})
	slices.SortFunc(soon, func(a, b keys.Expiring) int {
		return cmp.Or(a.Moment.Compare(b.Moment), cmp.Compare(a.Key.Place(), b.Key.Place()), cmp.Compare(a.Write, b.Write))
	})
	return slices.Compact(soon), more, err
}

// judge gives each entry of a page its moment, and leaves out what has expired.
func (x *Index) judge(ctx context.Context, prefix string, entries []store.Entry) ([]store.Entry, error) {
	moments, err := x.moments(ctx, prefix, entries)
	if err != nil || len(moments) == 0 {
		return entries, err
	}
	now := time.Now()
	gone := make([]bool, len(entries))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headsAtOnce)
	for i := range entries {
		e := &entries[i]
		of := moments[e.Name]
		if len(of) == 1 && of[0].After(now) {
			e.Expires = of[0]
		}
		if len(of) == 0 || !e.Expires.IsZero() {
			continue
		}
		// Entries of other writes of the key may be left, so the object itself decides.
		g.Go(func() error {
			h, err := x.store.Head(ctx, e.Name)
			absent := errors.Is(err, store.ErrNotFound)
			e.Expires = h.Expires
			gone[i] = absent || !h.Expires.IsZero() && !h.Expires.After(now)
			if absent {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	left := entries[:0]
	for i, e := range entries {
		if !gone[i] {
			left = append(left, e)
		}
	}
	return left, nil
}

// moments are those that the index has of the places of a page, which ascend. They are
// one range of the index, but for names that begin the last one: "a~@" comes after "ab~@".
func (x *Index) moments(ctx context.Context, prefix string, entries []store.Entry) (map[string][]time.Time, error) {
	found := map[string][]time.Time{}
	first, last := entries[0].Name, entries[len(entries)-1].Name
	end := keys.ExpiringAt(last) + "~" // after every moment
	if err := x.collect(ctx, keys.ExpiringUnder(prefix), keys.ExpiringUnder(first), end, found); err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards found
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(headsAtOnce)
	for _, e := range entries {
		if e.Name == last || !strings.HasPrefix(last, e.Name) {
			continue
		}
		g.Go(func() error {
			own := map[string][]time.Time{}
			err := x.collect(ctx, keys.ExpiringAt(e.Name), "", "", own)
			mu.Lock()
			defer mu.Unlock()
			found[e.Name] = own[e.Name]
			return err
		})
	}
	return found, g.Wait()
}

// collect adds the moments that the index has under a prefix, after a name and up to
// an end, to what was found, by place.
func (x *Index) collect(ctx context.Context, prefix, after, end string, found map[string][]time.Time) error {
	_, err := x.each(ctx, prefix, after, all, func(entry store.Entry) bool {
		if end != "" && entry.Name > end {
			return false
		}
		if e, err := keys.ExpiringFromKey(entry.Name); err == nil {
			place := e.Key.Place()
			found[place] = append(found[place], e.Moment)
		}
		return true
	})
	return err
}
