package usage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"larder/keys"
)

const (
	// walkEvery is the age from which on the counts of an org are compared with the
	// bucket again.
	walkEvery = 24 * time.Hour
	// walkRest is the pause after a walk, and walkShare how many times as long as
	// the walk itself it lasts at least, when there is doubt again.
	walkRest  = 30 * time.Second
	walkShare = 20
	pageSize  = 1000
)

// walk compares the counts of an org with a listing of the bucket, and puts them
// right.
//
// The listing takes a while. Let m be how much writes moved meanwhile, and those
// that were under way at either end. What is there at the end is then within m of
// what was listed. So counts that are within m of it are left as they are, and
// others moved there; without writes m is nothing and the counts become exact.
func (u *Usage) walk(ctx context.Context, org string) error {
	began := time.Now()
	u.mu.Lock()
	delete(u.doubts, org) // those that come from now on are for the next walk
	u.mu.Unlock()
	u.exchange(ctx, org)
	before, underWay := u.movedBy(org)
	listed := map[string]Sum{}
	for _, service := range []string{keys.Objects, keys.Strategies} {
		sum, err := u.list(ctx, org, service)
		if err != nil {
			return fmt.Errorf("count what %s has: %w", org, err)
		}
		listed[service] = sum
	}
	u.exchange(ctx, org)
	after, more := u.movedBy(org)
	underWay = underWay.plus(more)

	moved := false
	err := u.save(ctx, org, false, func(b *base) {
		first := b.walked.IsZero()
		for service, there := range listed {
			m := after[service].minus(before[service]).plus(underWay)
			moved = moved || m != (Sum{})
			if first {
				m = Sum{} // what was counted without knowing what was there says nothing
			}
			counted := b.sums.of(service)
			b.sums.add(account{service: service}, Sum{
				Bytes:   within(counted.Bytes, there.Bytes, m.Bytes) - counted.Bytes,
				Objects: within(counted.Objects, there.Objects, m.Objects) - counted.Objects,
			})
		}
		b.walked, b.doubt = time.Now().UTC(), moved
	})
	if errors.Is(err, errRewritten) {
		return nil // the next look finds what is left to do
	}
	if err != nil {
		return err
	}
	u.rest(org, max(walkRest, walkShare*time.Since(began)))
	u.counts.walks.Add(1)
	return nil
}

// within is the number next to n that is at most m away from middle.
func within(n, middle, m int64) int64 { return min(max(n, middle-m), middle+m) }

// movedBy is how much the writes of an org have moved, and those under way would.
func (u *Usage) movedBy(org string) (moved map[string]Sum, underWay Sum) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	return h.moved(), h.pending.plus(h.othersPending())
}

// list counts what is in the bucket. What is not a key, which other tools may have
// put there, does not count.
func (u *Usage) list(ctx context.Context, org, service string) (sum Sum, err error) {
	prefix, err := keys.PlacePrefix(org, service, "")
	if err != nil {
		return sum, err
	}
	for after, more := "", true; more; {
		entries, goesOn, err := u.store.List(ctx, prefix, after, pageSize)
		if err != nil {
			return sum, err
		}
		for _, e := range entries {
			after = e.Name
			if _, err := keys.FromPlace(e.Name); err == nil {
				sum = sum.plus(Sum{e.Size, 1})
			}
		}
		more = goesOn && len(entries) > 0
	}
	return sum, nil
}

// rest keeps an org from being walked again for a while.
func (u *Usage) rest(org string, d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.resting[org] = time.Now().Add(d)
}

// walkDue reports whether the org's counts are to be compared with the bucket now.
func (u *Usage) walkDue(org string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	if h.base == nil || now.Before(u.resting[org]) {
		return false
	}
	if h.base.walked.IsZero() || h.base.doubt || u.doubts[org] || now.Sub(h.base.walked) > walkEvery {
		return true
	}
	for id, s := range h.base.starts { // a start that ended without a word, all nodes perhaps
		if !s.closed && s.gone.IsZero() && id != h.id && !u.isLive(id) {
			return true
		}
	}
	return false
}
