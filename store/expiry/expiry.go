// Package expiry keeps the index of objects that expire, which lies in the bucket
// beside them: by hour, for their removal, and by key, for listings.
//
// It guarantees that an object which expires is found by both from before it is
// visible until it is removed, and that a listing holds none whose moment has come by
// this node's clock. An entry alone says nothing: whether an object has expired is
// said by its own metadata. Package writepath adds and drops entries and asks for what
// is due; package httpapi lists. It must never remove an object. Safe for concurrent use.
package expiry

import (
	"context"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"larder/keys"
	"larder/store"
)

const (
	// page is how many names are listed at once.
	page = 1000
	// all is more names than there are.
	all = math.MaxInt
	// knownFor is how long an org is taken to have objects that expire once it was seen
	// to, and noneFor how long it is taken to have none. What is written within that
	// time expires a second after it at the soonest.
	knownFor = time.Minute
	noneFor  = time.Second
)

// Store is what the index needs of the durable store.
type Store interface {
	Head(ctx context.Context, name string) (store.Head, error)
	List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error)
	Put(ctx context.Context, name string, w store.Write) (store.Head, error)
	Delete(ctx context.Context, name string) error
}

// Index is the index. Make one with New.
type Index struct {
	store Store

	mu    sync.Mutex // guards what is below
	orgs  map[string]seen
	swept time.Time // when those were last forgotten of which nothing is known any more
}

// seen is whether an org has objects that expire, and until when that is good.
type seen struct {
	has   bool
	until time.Time
}

// New makes an Index.
func New(st Store) *Index { return &Index{store: st, orgs: map[string]seen{}} }

// Add makes the entries of a write, which comes after. The entry by hour is first, so
// that none by key stays behind for ever.
func (x *Index) Add(ctx context.Context, e keys.Expiring) error {
	byHour, byKey, err := e.Places()
	if err != nil {
		return err
	}
	for _, name := range []string{byHour, byKey} {
		if _, err := x.store.Put(ctx, name, store.Write{}); err != nil {
			return fmt.Errorf("index the expiry of %s: %w", e.Key, err)
		}
	}
	x.note(e.Key.Org, true)
	return nil
}

// Drop removes the entries of a write whose object is not there, the one by hour last:
// as long as that is there, both are found again.
func (x *Index) Drop(ctx context.Context, e keys.Expiring) error {
	byHour, byKey, err := e.Places()
	if err != nil {
		return err
	}
	for _, name := range []string{byKey, byHour} {
		if err := x.store.Delete(ctx, name); err != nil {
			return fmt.Errorf("drop the expiry of %s: %w", e.Key, err)
		}
	}
	return nil
}

// Due is an entry whose moment has come.
type Due struct {
	keys.Expiring
	// Indexed is when the entry was written, by the store's clock.
	Indexed time.Time
}

// EachDue calls do with the entries whose moment had come at some time, the oldest
// first. It costs a listing of these. Names that are no entries are left alone.
func (x *Index) EachDue(ctx context.Context, by time.Time, do func(Due)) error {
	_, err := x.each(ctx, keys.ExpiringRoot, "", all, func(entry store.Entry) bool {
		e, err := keys.ExpiringFromHour(entry.Name)
		if err != nil {
			return true
		}
		if e.Moment.After(by) {
			return false
		}
		do(Due{e, entry.Modified})
		return true
	})
	return err
}

// each calls do with the entries of a prefix that come after a name, until it returns false or
// has had about so many, and reports whether there are more then.
func (x *Index) each(ctx context.Context, prefix, after string, most int, do func(store.Entry) bool) (more bool, err error) {
	for seen := 0; seen < most; {
		var entries []store.Entry
		if entries, more, err = x.store.List(ctx, prefix, after, page); err != nil {
			return false, err
		}
		for _, entry := range entries {
			if after = entry.Name; !do(entry) {
				return false, nil
			}
		}
		if seen += len(entries); !more {
			return false, nil
		}
	}
	return true, nil
}

// Has reports whether an org has objects that expire, as a listing of one name told: at
// most a second ago that it has none, a minute ago that it has. If it cannot be told, it
// may have.
func (x *Index) Has(ctx context.Context, org string) bool {
	x.mu.Lock()
	known, ok := x.orgs[org]
	x.mu.Unlock()
	now := time.Now()
	if ok && now.Before(known.until) {
		return known.has
	}
	entries, _, err := x.store.List(ctx, keys.ExpiringOrg(org), "", 1)
	if err != nil {
		return true
	}
	x.note(org, len(entries) > 0)
	return len(entries) > 0
}

// note keeps whether an org has objects that expire.
func (x *Index) note(org string, has bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if now.Sub(x.swept) > knownFor {
		x.swept = now
		maps.DeleteFunc(x.orgs, func(_ string, s seen) bool { return now.After(s.until) })
	}
	if has {
		x.orgs[org] = seen{true, now.Add(knownFor)}
		return
	}
	if !x.orgs[org].has || !now.Before(x.orgs[org].until) { // it was not added to meanwhile
		x.orgs[org] = seen{false, now.Add(noneFor)}
	}
}
