package main

import (
	"context"
	"errors"
	"fmt"
)

// enter takes part in the cluster from when the store has been seen. A member owns keys,
// so one that cannot ask the store for them would take them from everybody, though it is not ready.
func (n *node) enter(ctx context.Context) error {
	select {
	case <-n.seen:
		return n.cluster.Run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// The checks of readiness, each until it succeeds once.

// seeStore also finds out what the store is good for. If that cannot be found out at
// the first look, probeStore goes on. The store's errors are fit for callers.
func (n *node) seeStore(ctx context.Context) error {
	if err := n.store.Ping(ctx); err != nil {
		n.cluster.CloseUntilRun()
		return fmt.Errorf("the store has not been seen: %w", err)
	}
	close(n.seen)
	if err := n.probe(ctx); err != nil && ctx.Err() == nil {
		n.log.Warn().Err(err).Msg("the store could not be probed yet")
	}
	return nil
}

func (n *node) haveJoined(context.Context) error {
	switch {
	case n.cluster.Joined():
		return nil
	case len(n.cfg.Join) == 0:
		return errors.New("gossip has not begun")
	default:
		return errors.New("no member of --join has been reached yet; are they running, with the same secret and label?")
	}
}

func (n *node) haveSettled(context.Context) error {
	if !n.heads.Settled() {
		return errors.New("not every member has finished the writes that it began before it knew this node")
	}
	return nil
}
