package writepath

import "sync/atomic"

// Stats are what a node has counted since it started, and what it is doing now.
type Stats struct {
	// Revocations that this node sent as an owner, one for each member and try.
	Acknowledged, Busy, Silent int64
	// Leases that a write waited out: of members that did not acknowledge, and
	// of those that had died just before.
	SilentWaitedOut, DepartedWaitedOut int64
	// Uploads that are on their way to the store now: objects sent whole, from
	// the key's owner, and in parts, from the node where they arrived.
	Whole, InParts int64
	// Expired objects that this node removed, and Due those that its last walk found
	// and left.
	Expired, Due int64
	// Dropped are the objects that were removed as some of many, at their owner.
	Dropped int64
}

// counts are what Stats is made of.
type counts struct {
	acknowledged, busy, silent         atomic.Int64
	silentWaitedOut, departedWaitedOut atomic.Int64
	whole, inParts                     atomic.Int64
	expired, due, dropped              atomic.Int64
}

// Stats counts.
func (p *Path) Stats() Stats {
	c := &p.counts
	return Stats{
		Acknowledged: c.acknowledged.Load(), Busy: c.busy.Load(), Silent: c.silent.Load(),
		SilentWaitedOut: c.silentWaitedOut.Load(), DepartedWaitedOut: c.departedWaitedOut.Load(),
		Whole: c.whole.Load(), InParts: c.inParts.Load(),
		Expired: c.expired.Load(), Due: c.due.Load(), Dropped: c.dropped.Load(),
	}
}
