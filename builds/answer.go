package builds

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"larder/cluster"
	"larder/keys"
)

// Answer registers what this node answers to its peers.
func (b *Builds) Answer(handle func(route string, h cluster.Handler)) {
	handle(attendRoute, b.handleAttend)
	handle(giveUpRoute, b.handleGiveUp)
	handle(wroteRoute, b.handleWrote)
	handle(attachedRoute, b.handleAttached)
	handle(listRoute, b.handleList)
}

func refusal(status int, detail string) cluster.Answer {
	return cluster.Answer{Status: status, Text: []byte(detail)}
}

// said reads a question's body.
func said(asked cluster.Asked, v any) error {
	body, err := asked.ReadBody(maxStatement)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

func answered(v any) cluster.Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return cluster.Answer{Status: http.StatusOK, Body: body}
}

// handleAttend takes in who is attached to another node for the key whose place is the
// text, and answers when there is something to tell them.
func (b *Builds) handleAttend(ctx context.Context, asked cluster.Asked) cluster.Answer {
	k, err := keys.FromPlace(asked.Text)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	var s statement
	if err := said(asked, &s); err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	v, superseded, err := b.owner.attend(ctx, asked.From, k, s)
	switch {
	case superseded:
		return cluster.Answer{Status: http.StatusNoContent}
	case errors.Is(err, errNotOwner):
		return refusal(http.StatusMisdirectedRequest, err.Error())
	case errors.Is(err, errFull):
		return refusal(http.StatusTooManyRequests, err.Error())
	case err != nil:
		return refusal(http.StatusServiceUnavailable, err.Error())
	}
	return answered(v)
}

func (b *Builds) handleGiveUp(_ context.Context, asked cluster.Asked) cluster.Answer {
	var s giveUpSaid
	k, refused, ok := b.ownKey(asked, &s, func() string { return s.Place })
	if !ok {
		return refused
	}
	switch err := b.gaveUp(k, s); {
	case errors.Is(err, errUnasked):
		return refusal(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, ErrOthers):
		return refusal(http.StatusForbidden, err.Error())
	case err != nil:
		return refusal(http.StatusConflict, err.Error())
	}
	return cluster.Answer{Status: http.StatusNoContent}
}

func (b *Builds) handleWrote(_ context.Context, asked cluster.Asked) cluster.Answer {
	var s wroteSaid
	k, refused, ok := b.ownKey(asked, &s, func() string { return s.Place })
	if !ok {
		return refused
	}
	b.owner.with(func(t *table, now time.Time) { t.wrote(now, k, s.Claim, s.Is) })
	return cluster.Answer{Status: http.StatusNoContent}
}

// ownKey reads a question about a key that this node has to own.
func (b *Builds) ownKey(asked cluster.Asked, v any, place func() string) (k keys.Key, refused cluster.Answer, ok bool) {
	err := said(asked, v)
	if err == nil {
		k, err = keys.FromPlace(place())
	}
	switch {
	case err != nil:
		return k, refusal(http.StatusBadRequest, err.Error()), false
	case !b.owner.owns(k):
		return k, refusal(http.StatusMisdirectedRequest, errNotOwner.Error()), false
	}
	return k, cluster.Answer{}, true
}
