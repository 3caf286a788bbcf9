package cluster

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Bounds of the steps of Leave. Telling everybody takes one round trip and some
// gossip, a few hundred milliseconds; what is spent beyond that is spent on
// members that do not answer.
const (
	leaveTimeout       = 5 * time.Second
	leaveFanoutTimeout = 2 * time.Second
	leaveMetaTimeout   = 500 * time.Millisecond
	leaveGossipTimeout = time.Second
	leavingRoute       = "cluster/leaving"
)

// Leave makes the node stop owning and tells the others so, within 5 s or until
// ctx ends. The peer port goes on serving until Run's context ends.
//
// The order matters to a writer elsewhere, which stops revoking at a member
// that has left: this node's own ring drops it first, the functions of OnChange
// return, and only then does anybody else hear of it. So a node that drops its
// leases in OnChange never answers from one after the others have stopped revoking
// at it.
//
// When every member acknowledges, every ring has dropped this node when Leave
// returns. A member that does not acknowledge learns it from gossip. If
// OnChange takes too long nobody is told: that is an error, and the others will
// see this node die.
func (c *Cluster) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	c.farewell(c.self.ID)

	c.listMu.Lock()
	running := c.list != nil
	c.listMu.Unlock()
	if !running {
		return nil
	}
	if err := c.toldAll(ctx); err != nil {
		return fmt.Errorf("leave cluster: %w", err)
	}
	c.tellLeaving(ctx)

	c.listMu.Lock()
	defer c.listMu.Unlock()
	if c.list == nil {
		return nil
	}
	if err := c.list.UpdateNode(bounded(ctx, leaveMetaTimeout)); err != nil {
		c.log.Debug().Err(err).Msg("gossip that this node is leaving did not go out in time")
	}
	if err := c.list.Leave(bounded(ctx, leaveGossipTimeout)); err != nil {
		return fmt.Errorf("leave cluster: %w", err)
	}
	return nil
}

// toldAll waits until all ring changes so far have been told.
func (c *Cluster) toldAll(ctx context.Context) error {
	told := make(chan struct{})
	select {
	case c.barriers <- told:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tellLeaving asks every member to drop this node from its ring now.
func (c *Cluster) tellLeaving(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveFanoutTimeout)
	defer cancel()
	for _, ack := range c.Fanout(ctx, c.Members(), leavingRoute, "") {
		if ack.Err != nil {
			c.log.Debug().Err(ack.Err).Str("peer", ack.Member.Name).Msg("a member did not hear that this node is leaving")
		}
	}
}

func (c *Cluster) handleLeaving(_ context.Context, asked Asked) Answer {
	c.farewell(asked.From)
	return Answer{Status: http.StatusNoContent}
}

// bounded returns the time until ctx's deadline, within a millisecond and most:
// memberlist takes zero as for ever.
func bounded(ctx context.Context, most time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end))
	}
	return max(most, time.Millisecond)
}
