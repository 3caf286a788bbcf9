package usage

import (
	"errors"
	"sync/atomic"
)

// counts are what Stats is made of.
type counts struct {
	hits, micros        atomic.Int64
	overQuota, overRate atomic.Int64
	walks, failed       atomic.Int64
}

// Refused counts a request that was refused, if that was for a limit.
func (u *Usage) Refused(err error) {
	switch {
	case u == nil:
	case errors.Is(err, ErrQuota):
		u.counts.overQuota.Add(1)
	case errors.Is(err, ErrRate):
		u.counts.overRate.Add(1)
	}
}

// Stats of what a node counted since it started.
type Stats struct {
	// Hits, and the seconds of building that they saved.
	Hits    int64
	Seconds float64
	// OverQuota and OverRate are the requests that were refused.
	OverQuota, OverRate int64
	// Walks are the listings of an org in the bucket, Failed what could not be
	// written to it or read, and was tried again.
	Walks, Failed int64
	// Bytes and Objects are the largest parts of their limits that orgs have.
	Bytes, Objects float64
}

// nearLimit is the part of a limit from which on the log says that an org is near it.
const nearLimit = 0.9

// used are the parts of its limits that an org has; 0 if there is none.
func (p Policy) used(has Sum) (bytes, objects float64) {
	if p.MaxBytes > 0 {
		bytes = float64(has.Bytes) / float64(p.MaxBytes)
	}
	if p.MaxObjects > 0 {
		objects = float64(has.Objects) / float64(p.MaxObjects)
	}
	return max(bytes, 0), max(objects, 0)
}

// watch logs when an org comes near a limit, once each time.
func (u *Usage) watch(org string) {
	u.mu.Lock()
	h := u.holding(org)
	bytes, objects := u.policies.Of(org).used(h.total())
	near := bytes > nearLimit || objects > nearLimit
	was := h.near
	h.near = near
	u.mu.Unlock()
	if near && !was {
		u.log.Warn().Str("org", org).Float64("max_bytes", bytes).Float64("max_objects", objects).Msg("an organisation is near a limit of its policy")
	}
}

// Stats counts.
func (u *Usage) Stats() Stats {
	s := Stats{
		Hits: u.counts.hits.Load(), Seconds: float64(u.counts.micros.Load()) / 1e6,
		OverQuota: u.counts.overQuota.Load(), OverRate: u.counts.overRate.Load(),
		Walks: u.counts.walks.Load(), Failed: u.counts.failed.Load(),
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for org, h := range u.holdings {
		bytes, objects := u.policies.Of(org).used(h.total())
		s.Bytes, s.Objects = max(s.Bytes, bytes), max(s.Objects, objects)
	}
	return s
}
