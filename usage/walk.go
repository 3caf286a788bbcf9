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
	// walkRest is the pause after a walk until the next one, if there is doubt again:
	// twice as long each time, up to walkRestMost, and walkShare times as long as the
	// walk itself at least.
	walkRest     = 2 * time.Second
	walkRestMost = time.Minute
	walkShare    = 20
	pageSize     = 1000
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
	before := u.movedBy(org)
	listed := map[string]Sum{}
	for _, service := range []string{keys.Objects, keys.Strategies} {
		sum, err := u.list(ctx, org, service)
		if err != nil {
			return fmt.Errorf("count what %s has: %w", org, err)
		}
		listed[service] = sum
	}
	u.exchange(ctx, org)

	quiet := true
	err := u.save(ctx, org, false, func(b *base, after movement) {
		for service, there := range listed {
			m := after.done[service].minus(before.done[service]).plus(before.underWay).plus(after.underWay)
			quiet = quiet && m == Sum{} && before.writes+after.writes == 0
			counted := b.sums.of(service)
			b.sums.add(account{service: service}, Sum{
				Bytes:   within(counted.Bytes, there.Bytes, m.Bytes) - counted.Bytes,
				Objects: within(counted.Objects, there.Objects, m.Objects) - counted.Objects,
			})
		}
		b.walked, b.doubt = time.Now().UTC(), !quiet
	})
	if errors.Is(err, errRewritten) {
		return nil // the next look finds what is left to do
	}
	if err != nil {
		return err
	}
	u.rest(org, time.Since(began), quiet)
	u.counts.walks.Add(1)
	return nil
}

// within is the number next to n that is at most m away from middle.
func within(n, middle, m int64) int64 { return min(max(n, middle-m), middle+m) }

// movement is how much the writes of an org have moved so far, by service, and those
// under way would.
type movement struct {
	done     map[string]Sum
	underWay Sum
	writes   int64 // under way, also those that need no room
}

func (u *Usage) movedBy(org string) movement {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.holding(org).movement()
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
func (u *Usage) rest(org string, took time.Duration, quiet bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := u.rests[org]
	if r.pause = min(2*r.pause, walkRestMost); quiet || r.pause == 0 {
		r.pause = walkRest
	}
	r.until = time.Now().Add(max(r.pause, walkShare*took))
	u.rests[org] = r
}

// rest is the pause after a walk.
type rest struct {
	pause time.Duration
	until time.Time
}

// walkDue reports whether the org's counts are to be compared with the bucket now.
func (u *Usage) walkDue(org string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	if h.base == nil || now.Before(u.rests[org].until) {
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
