package usage

import (
	"errors"
	"sync/atomic"
)

// counts are what Stats is made of.
type counts struct {
	hits, joined, micros atomic.Int64
	overQuota, overRate  atomic.Int64
	walks, failed        atomic.Int64
}

// refused counts a refusal.
func (c *counts) refused(err error) {
	switch {
	case errors.Is(err, ErrQuota):
		c.overQuota.Add(1)
	case errors.Is(err, ErrRate):
		c.overRate.Add(1)
	}
}

// Stats of what a node counted since it started.
type Stats struct {
	// Hits and Joined builds, and the seconds of building that they saved.
	Hits, Joined int64
	Seconds      float64
	// OverQuota and OverRate are the requests that were refused.
	OverQuota, OverRate int64
	// Walks are the listings of an org in the bucket, Failed what could not be
	// written to it or read, and was tried again.
	Walks, Failed int64
	// Used are the parts of their limits that orgs with an entry of their own have.
	Used []Used
}

// Used is which part of a limit an org has.
type Used struct {
	Org, Limit string
	Part       float64
}

// Stats counts.
func (u *Usage) Stats() Stats {
	s := Stats{
		Hits: u.counts.hits.Load(), Joined: u.counts.joined.Load(), Seconds: float64(u.counts.micros.Load()) / 1e6,
		OverQuota: u.counts.overQuota.Load(), OverRate: u.counts.overRate.Load(),
		Walks: u.counts.walks.Load(), Failed: u.counts.failed.Load(),
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, org := range u.policies.Orgs() {
		p, has := u.policies.Of(org), u.holding(org).total()
		if p.MaxBytes > 0 {
			s.Used = append(s.Used, Used{org, "max_bytes", float64(has.Bytes) / float64(p.MaxBytes)})
		}
		if p.MaxObjects > 0 {
			s.Used = append(s.Used, Used{org, "max_objects", float64(has.Objects) / float64(p.MaxObjects)})
		}
	}
	return s
}
