package builds

// Stats are what a node has counted as an owner since it started, and what it holds now.
type Stats struct {
	// Built are claims whose own put has ended them. Joined are callers who waited and
	// found what another built. TookOver are grants after a builder was lost or gave up.
	Built, Joined, TookOver int64
	// Fenced are puts that were refused since their claim was lost.
	Fenced int64
	// Failed and Unstored are builds that ended so.
	Failed, Unstored int64
	// InFlight are live claims, Waiters those who wait for one.
	InFlight, Waiters int64
}

// counts are what Stats is made of.
type counts struct {
	built, joined, tookOver, fenced, failed, unstored int64
}

// ended counts a build that came to nothing.
func (c *counts) ended(k Kind) {
	if k == Unstored {
		c.unstored++
	} else {
		c.failed++
	}
}

// stats counts.
func (t *table) stats() Stats {
	c := t.counts
	s := Stats{Built: c.built, Joined: c.joined, TookOver: c.tookOver, Fenced: c.fenced, Failed: c.failed, Unstored: c.unstored}
	for _, st := range t.keys {
		if st.claim != nil {
			s.InFlight++
		}
		s.Waiters += int64(len(st.waiters()))
	}
	return s
}
