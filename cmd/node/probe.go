package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"larder/store"
)

const (
	// probeSoon is the pause before a store that could not be probed, or not whole, is
	// probed again; it doubles up to probeLate.
	probeSoon = 10 * time.Second
	probeLate = time.Hour
)

// errNotWhole says that a store could not be probed whole.
var errNotWhole = errors.New("the store gave no answer, or the credentials lack permissions: what depends on that is found out later")

// probe finds out what the store does otherwise than S3, and logs it when it is news.
func (n *node) probe(ctx context.Context) error {
	differences, err := n.store.Probe(ctx)
	if err != nil {
		return err
	}
	n.probed.Lock()
	defer n.probed.Unlock()
	if !slices.Equal(differences, n.differences) {
		for _, d := range differences {
			n.log.Warn().Str("component", "s3").Str("lacks", d.Lacks).Str("instead", d.Instead).Msg("this store does not do as S3 does")
		}
		if n.differences = differences; len(differences) == 0 {
			n.log.Info().Str("component", "s3").Msg("this store does as S3 does")
		}
	}
	if slices.ContainsFunc(differences, store.Difference.Again) {
		return errNotWhole
	}
	return nil
}

// probeStore tries until the store has been probed. Until then the node serves, the
// owners of keys check every condition by themselves and tell the store too, and no
// upload is aborted.
func (n *node) probeStore(ctx context.Context) error {
	for wait := probeSoon; ; wait = min(2*wait, probeLate) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := n.probe(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the node ends, which is why there was no answer
		}
		if err == nil {
			return nil
		}
		n.log.Warn().Err(err).Msg("the store could not be probed yet")
	}
}
