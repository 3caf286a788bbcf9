package fill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"larder/budget"
	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// maxDetail is how much of an error a peer is told, in bytes.
const maxDetail = 1 << 10

// The questions that a node answers to its peers.
const (
	headRoute  = "fill/head"    // whose text is a headQuestion
	chunkRoute = "fill/chunk/2" // whose text is a chunkText, and that of the answer a Source
	keepRoute  = "fill/keep/2"  // the same, with the chunk itself, which was just written
)

var (
	// errOwnerSays marks an error that the owner found out for certain, so
	// that asking the store once more would only say it later.
	errOwnerSays = errors.New("the owner says")
)

// headQuestion asks for what an owner knows of a key, as JSON.
type headQuestion struct {
	Place string
	Bytes bool  // the first chunk too, if it is small
	Chunk int64 // the asker's chunk size, which must be the owner's
}

// headAnswer is what an owner says of a key, as JSON. If it says so, the first
// chunk follows: one that is too small to be counted, so that reading a small
// object through any node takes one question.
type headAnswer struct {
	heads.Known
	Source Source
	Lease  time.Duration // from the moment the question was asked; 0: for this request only
	First  bool
}

// Answer registers what this node answers to its peers.
func (f *Filler) Answer(answer func(route string, a cluster.Handler)) {
	answer(headRoute, f.answerHead)
	answer(chunkRoute, f.answerChunk)
	answer(keepRoute, f.keepChunk)
}

// askHead asks the owner for a head and a lease on it. An error that wraps
// errOwnerSays is the owner's verdict; any other means that it gave no answer.
func (f *Filler) askHead(ctx context.Context, owner cluster.Member, k keys.Key, w want) (answer, time.Duration, error) {
	text, err := json.Marshal(headQuestion{Place: k.Place(), Bytes: bool(w), Chunk: f.cfg.ChunkSize})
	if err != nil {
		return answer{}, 0, fmt.Errorf("ask for a head: %w", err)
	}
	said, err := f.ask(ctx, owner, cluster.Question{Route: headRoute, Text: string(text), Room: budget.FreeLen})
	if err != nil {
		return answer{}, 0, err
	}
	var h headAnswer
	if err := json.Unmarshal(said.Text, &h); err != nil {
		return answer{}, 0, fmt.Errorf("read a head of %s: %w", owner.Name, err)
	}
	if h.Head.Size < 0 {
		return answer{}, 0, fmt.Errorf("%s says that %s has %d bytes", owner.Name, k, h.Head.Size)
	}
	a := answer{Known: h.Known, Source: h.Source}
	if h.First {
		if want := f.chunkLen(h.Head.Size, 0); int64(len(said.Body)) != want {
			return answer{}, 0, fmt.Errorf("%s gave %d bytes of a chunk of %d", owner.Name, len(said.Body), want)
		}
		if err := f.check(ctx, f.chunkOf(k, h.Head, 0), said.Body, Peer); err != nil {
			return answer{}, 0, err
		}
		a.first, a.hasFirst = said.Body, true
	}
	return a, h.Lease, nil
}

// ask asks a peer. An answer that is a refusal is an error.
func (f *Filler) ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error) {
	said, err := f.ring.Ask(ctx, m, q)
	if err == nil && said.Status != http.StatusOK {
		if said.Rest != nil {
			_ = said.Rest.Close() // nobody wants it
		}
		err = peerError(m, said)
	}
	return said, err
}

// peerError turns a peer's refusal into the error that it had.
func peerError(m cluster.Member, said cluster.Answer) error {
	detail := said.Text[:min(len(said.Text), maxDetail)]
	switch said.Status {
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrPrecondition)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrUnavailable)
	case http.StatusBadGateway:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrUnexpected)
	}
	return fmt.Errorf("%s: %w", m.Name, &cluster.Refused{Status: said.Status, Detail: string(detail)})
}

// refusal answers a peer with an error that peerError understands.
func refusal(err error) cluster.Answer {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNotOwner):
		status = http.StatusMisdirectedRequest
	case errors.Is(err, keys.ErrBadKey):
		status = http.StatusBadRequest
	case errors.Is(err, store.ErrPrecondition):
		status = http.StatusPreconditionFailed
	case errors.Is(err, store.ErrUnavailable):
		status = http.StatusServiceUnavailable
	case errors.Is(err, store.ErrUnexpected):
		status = http.StatusBadGateway
	}
	detail := err.Error()
	return cluster.Answer{Status: status, Text: []byte(detail[:min(len(detail), maxDetail)])}
}

// answerHead answers a peer that asks for a head. A node that is not the owner
// in its own view says so and asks nobody.
func (f *Filler) answerHead(ctx context.Context, asked cluster.Asked) cluster.Answer {
	var q headQuestion
	if err := json.Unmarshal([]byte(asked.Text), &q); err != nil {
		return refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	k, err := keys.FromPlace(q.Place)
	if err != nil {
		return refusal(err)
	}
	owner, self := f.ring.Owner(k.Hash())
	if !self || q.Chunk != f.cfg.ChunkSize {
		return refusal(errNotOwner)
	}
	a, err := f.resolveAs(ctx, k, want(q.Bytes), k.Org, owner, self)
	if err != nil {
		return refusal(err)
	}
	h, first := f.forPeer(asked.From, k, a, q.Bytes)
	a.pin.Release() // a chunk that is counted is asked for by itself
	text, err := json.Marshal(h)
	if err != nil {
		return refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: text, Body: first}
}

// forPeer makes of what this node knows an answer for the peer that asked, with
// a lease and a small first chunk if it can give them.
func (f *Filler) forPeer(from string, k keys.Key, a answer, bytes bool) (headAnswer, []byte) {
	h := headAnswer{Known: a.Known, Source: a.Source}
	if granted, lease := f.heads.Grant(k, from); lease > 0 {
		h.Known, h.Lease = granted, lease
	}
	length := f.chunkLen(h.Head.Size, 0)
	if !bytes || h.Absent || length <= 0 || length > budget.FreeLen {
		return h, nil
	}
	if a.hasFirst && versionOf(a.Head) == versionOf(h.Head) {
		h.First = true
		return h, a.first
	}
	c := f.chunkOf(k, h.Head, 0)
	first, source, err := f.owned.Get(c, c.name())
	if err != nil { // the peer asks for it by itself, and hears why
		return h, nil
	}
	if source == S3 {
		h.Source = S3
	}
	h.First = true
	return h, first
}
