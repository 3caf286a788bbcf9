package heads

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"larder/cluster"
	"larder/keys"
)

const (
	// RevokeRoute is where an owner tells this node to drop the head of a key, whose
	// place is the text. A status of 409 (Conflict) says that this node is busy
	// writing it itself.
	RevokeRoute = "writepath/revoke" // as older nodes name it
	// RevokeManyRoute is the same of many keys: the body has their places, a line each.
	// The text of the answer has those, a line each, that this node is busy writing.
	RevokeManyRoute = "heads/revoke-many"
	// maxRevoked bounds the places of one question, in bytes: a thousand fit.
	maxRevoked = 2 << 20
	// busyWithin is how long a member that is writing the key itself waits for
	// its own upload before it says that it is busy.
	busyWithin = 500 * time.Millisecond
	// rememberDead is how long a death counts when its member is back.
	rememberDead = time.Hour
)

// Answer registers what this node answers to its peers.
func (t *Table) Answer(handle func(route string, h cluster.Handler)) {
	handle(RevokeRoute, t.handleRevoke)
	handle(RevokeManyRoute, t.handleRevokeMany)
	handle(settleRoute, t.handleSettle)
}

func refusal(status int, detail string) cluster.Answer {
	return cluster.Answer{Status: status, Text: []byte(detail)}
}

// handleRevoke drops the head of a key because a peer is about to write it.
//
// Rule 11: if this node is writing the key too, both were its owner for a moment. A
// write that has not reached the store is given up (its caller tries again at
// the owner). One that has is waited for before the acknowledgement: otherwise
//
//	here:  uploads v1, slowly
//	peer:  revokes here, uploads v2, publishes v2
//	store: completes v2, then v1
//
// and the peer would trust v2 while the store holds v1.
//
// A peer that was seen dead and is back is not acknowledged before it has
// settled: it waits, and until then what it is about to write may come from
// before its absence.
func (t *Table) handleRevoke(ctx context.Context, asked cluster.Asked) cluster.Answer {
	k, err := keys.FromPlace(asked.Text)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	if t.isBackUnsettled(asked.From) {
		t.counts.refused.Add(1)
		return refusal(http.StatusServiceUnavailable, "was seen dead, and has not settled yet")
	}
	until := time.Now().Add(busyWithin)
	if !t.revoked(ctx, asked.From, k, until) {
		return refusal(http.StatusConflict, "still writing "+k.String())
	}
	return cluster.Answer{Status: http.StatusNoContent}
}

// handleRevokeMany is handleRevoke of many keys. They wait for this node's own uploads no
// longer than one does.
func (t *Table) handleRevokeMany(ctx context.Context, asked cluster.Asked) cluster.Answer {
	body, err := asked.ReadBody(maxRevoked)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	if t.isBackUnsettled(asked.From) {
		t.counts.refused.Add(1)
		return refusal(http.StatusServiceUnavailable, "was seen dead, and has not settled yet")
	}
	var busy []string
	until := time.Now().Add(busyWithin)
	for place := range strings.SplitSeq(string(body), "\n") {
		k, err := keys.FromPlace(place)
		if err != nil {
			return refusal(http.StatusBadRequest, err.Error())
		}
		if !t.revoked(ctx, asked.From, k, until) {
			busy = append(busy, place)
		}
	}
	return cluster.Answer{Status: http.StatusOK, Text: []byte(strings.Join(busy, "\n"))}
}

// revoked drops the head of a key that a peer is about to write, and reports whether
// this node does not write it itself any more. It waits so long, or until ctx ends.
func (t *Table) revoked(ctx context.Context, from string, k keys.Key, until time.Time) bool {
	for uploaded := t.giveWay(k, from); uploaded != nil; uploaded = t.giveWay(k, from) {
		if !uploadEnded(ctx, uploaded, until) {
			t.counts.refused.Add(1)
			return false
		}
	}
	t.counts.dropped.Add(1)
	return true
}

// uploadEnded waits for the end of an upload, and reports whether it came in time.
func uploadEnded(ctx context.Context, uploaded <-chan struct{}, until time.Time) bool {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case <-uploaded:
		return true
	case <-ctx.Done():
		return false
	}
}

// isBackUnsettled reports whether a member was seen dead, is there again, and
// has not settled with this node yet.
func (t *Table) isBackUnsettled(id string) bool {
	return t.Unsettled(id) &&
		slices.ContainsFunc(t.cluster.Departed(rememberDead), func(d cluster.Departure) bool { return d.Member.ID == id })
}

// Hint drops the head of the key at this place: gossip carried a copy of a
// revocation. What cannot be read is ignored, like a hint that never came.
//
// Rule 19: a hint only drops. Nobody waits for it, and nothing that it says is kept.
func (t *Table) Hint(place []byte) {
	if k, err := keys.FromPlace(string(place)); err == nil {
		t.Drop(k)
	}
}
