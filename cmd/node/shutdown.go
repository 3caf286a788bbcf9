package main

import (
	"context"
	"time"
)

const (
	// drainLimit bounds a shutdown: the longest write of one chunk, and a
	// little. S3 may take longer to complete a large object, whose outcome is
	// then unknown.
	drainLimit = 60 * time.Second
	// farewellLimit is how long kept connections have to end with an answer.
	farewellLimit = 2 * time.Second
)

// shutdown stops what callers and members notice, in this order, within drainLimit.
func (n *node) shutdown() {
	n.log.Info().Dur("atmost", drainLimit).Msg("shutting down, waiting for requests under way; a second signal ends at once")
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	n.admin.NotReady("shutting down")
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"end streams", n.builds.Drain},
		{"let connections go", n.letConnectionsGo},
		{"hand chunks on", n.fill.HandOn},
		{"finish writes and forget heads", n.heads.Retire},
		{"leave the cluster", n.cluster.Leave},
		{"finish requests", n.public.Shutdown},
		{"finish answers", n.untilNoConnections},
		{"write what was counted", n.usage.Close},
		{"stop the admin port", n.private.Shutdown},
	} {
		if err := step.do(ctx); err != nil {
			n.log.Warn().Err(err).Str("step", step.name).Msg("shutdown step not completed")
		}
	}
}

// letConnectionsGo answers all requests and ends each connection with its answer,
// until there are none, or for a moment: those who keep connections find another
// node, instead of a connection that is closed as they use it.
func (n *node) letConnectionsGo(ctx context.Context) error {
	n.api.Drain()
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	_ = n.untilNoConnections(ctx) // the rest is closed later
	return nil
}

// untilNoConnections waits until all connections have ended: those that net/http
// takes for idle, and closes, end with the answer that is being sent.
func (n *node) untilNoConnections(ctx context.Context) error {
	tick := time.NewTicker(farewellLimit / 100)
	defer tick.Stop()
	for {
		if open, _ := n.door.Connections(); open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
