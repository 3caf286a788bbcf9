package cluster

import (
	"context"
	"sync"
	"time"
)

const (
	goneAtMost = 16 << 10 // some 200 bytes each
	// probeAgain is the wait before a doubted process is probed again.
	probeAgain = 250 * time.Millisecond
	// believeAfter is how long memberlist must take a process for alive that this
	// node cannot reach. By then it would long have seen that a dead one is dead.
	believeAfter = 30 * time.Second
)

// gone remembers the processes that died or left, the last goneAtMost of them.
// Gossip is encrypted, but a packet that somebody has seen can be sent again,
// and memberlist forgets the dead after some seconds.
type gone struct {
	byID  map[string]goneMember
	order []string          // IDs, oldest first
	last  map[string]uint64 // the latest start of each name
}

type goneMember struct {
	Member
	left bool // with a goodbye
}

func newGone() gone {
	return gone{byID: make(map[string]goneMember), last: make(map[string]uint64)}
}

func (g *gone) add(m Member, left bool) {
	if was, ok := g.byID[m.ID]; ok { // it was seen dead before
		g.byID[m.ID] = goneMember{Member: m, left: left || was.left}
		return
	}
	if len(g.order) >= goneAtMost {
		oldest := g.byID[g.order[0]]
		delete(g.byID, oldest.ID)
		if g.last[oldest.Name] == oldest.Incarnation {
			delete(g.last, oldest.Name)
		}
		g.order = g.order[1:]
	}
	g.byID[m.ID] = goneMember{Member: m, left: left}
	g.order = append(g.order, m.ID)
	g.last[m.Name] = max(g.last[m.Name], m.Incarnation)
}

// left returns a process that said goodbye.
func (g *gone) left(id string) (m Member, ok bool) {
	was, ok := g.byID[id]
	return was.Member, ok && was.left
}

// isOldNews reports whether a process that gossip calls alive was seen dead, has
// left, or is an earlier start than one that was known. It may be alive all the
// same, after a pause or a partition; or the gossip is old. c.mu must be held.
func (c *Cluster) isOldNews(m Member) bool {
	if _, ok := c.gone.byID[m.ID]; ok || m.Incarnation < c.gone.last[m.Name] {
		return true
	}
	for _, rec := range c.records {
		if rec.Name == m.Name && rec.newerThan(m) {
			return true
		}
	}
	return false
}

// doubt is a process that is a member once it has shown that it is alive.
type doubt struct {
	Member
	gossipAddr string
	leaving    bool
	since      time.Time
}

// doubt has a process probed, unless it left for good. c.mu must be held.
func (c *Cluster) doubt(m Member, gossipAddr string, leaving bool) {
	if _, left := c.gone.left(m.ID); left {
		return
	}
	since := time.Now()
	if d, ok := c.doubted[m.ID]; ok {
		since = d.since
	}
	c.doubted[m.ID] = doubt{Member: m, gossipAddr: gossipAddr, leaving: leaving, since: since}
	select {
	case c.doubts <- struct{}{}:
	default:
	}
}

// probeDoubted asks the processes that are doubted whether they are there, until
// ctx ends. A handshake tells: it names the process.
func (c *Cluster) probeDoubted(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.doubts:
		}
		for c.probeAll(ctx) > 0 && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(probeAgain):
			}
		}
	}
}

// probeAll probes all that are doubted, and returns how many still are.
func (c *Cluster) probeAll(ctx context.Context) (left int) {
	c.mu.Lock()
	var all []doubt
	for _, d := range c.doubted {
		all = append(all, d)
	}
	c.mu.Unlock()

	var wg sync.WaitGroup
	for _, d := range all {
		wg.Go(func() {
			err := c.port.Probe(ctx, d.ID, d.PeerAddr, d.Encrypted)
			if err == nil || time.Since(d.since) > believeAfter {
				c.believe(d.ID)
				return
			}
			c.log.Debug().Err(err).Str("peer", d.Name).Str("id", d.ID).Msg("gossip of a member that was gone, and is not there")
		})
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.doubted)
}

// believe makes a member of a process that is doubted, unless it died meanwhile.
func (c *Cluster) believe(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.doubted[id]; ok {
		delete(c.doubted, id)
		c.admit(d.Member, d.gossipAddr, d.leaving)
	}
}
