package chunks

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"larder/cluster"
)

const (
	// nearMembers is how many members are asked for a chunk before S3 is: of two nodes
	// that join at once, one may come next after the other.
	nearMembers = 2
	// nearLimit bounds the wait for each, with a little more for a long chunk, at
	// nearSpeed bytes a second. One that has nothing says so in a round trip.
	nearLimit = 500 * time.Millisecond
	nearSpeed = 64 << 20
	// patience is how many questions in a row may bring nothing before none is asked
	// until the ring changes again. One without an answer in time counts as silentCount.
	patience    = 256
	silentCount = 16
)

// near are the members after this node in the ring's order: who owned its chunks before
// it came, or came back. Chunks never change, so theirs are as right as the store's. They
// are asked as long as that brings something.
type near struct {
	row          atomic.Int64 // questions in a row that brought nothing
	useful, vain atomic.Int64 // questions that brought something, and nothing
}

// RingChanged has the members be asked again who may have owned chunks before, and makes
// copies of the chunks that others own now. Otherwise memory would fill with them where
// their owners have them on disk and never ask, and have no room for what members give.
func (s *Chunks) RingChanged() {
	s.near.row.Store(0)
	s.fetches.Go(func() {
		s.demoting.Lock()
		defer s.demoting.Unlock()
		s.own.Demote(func(slot uint64) bool {
			_, self := s.ring.Owner(slot)
			return self
		})
	})
}

// AskNear asks the members that may have owned a hash before this node a question, one
// after the other, until one has an answer that is good.
func (s *Chunks) AskNear(ctx context.Context, hash uint64, q cluster.Question, good func(cluster.Member, cluster.Answer) bool) bool {
	if s.near.row.Load() >= patience {
		return false
	}
	q.Within = nearLimit + time.Duration(q.Room)*time.Second/nearSpeed
	for _, m := range s.ring.Next(hash, nearMembers) {
		said, err := s.Ask(ctx, m, q)
		if err == nil && good(m, said) {
			s.near.useful.Add(1)
			s.near.row.Store(0)
			return true
		}
		s.near.vain.Add(1)
		var refused *cluster.Refused
		if errors.As(err, &refused) {
			s.near.row.Add(1)
		} else {
			s.near.row.Add(silentCount)
		}
	}
	return false
}

// fromNear returns a chunk from a member that owned it before, if one has it and its bytes
// are right.
func (s *Chunks) fromNear(p place) (b []byte, ok bool) {
	ctx := context.Background() // the question is bounded
	q := cluster.Question{Route: heldRoute, Text: s.textOf(p.Chunk), Room: p.length}
	ok = s.AskNear(ctx, p.slot(), q, func(m cluster.Member, said cluster.Answer) bool {
		d, err := s.Given(ctx, m, s.withHead(ctx, p.Chunk), said.Body)
		b = d.View
		return err == nil
	})
	return b, ok
}

// handleHeld answers a member that owns a chunk now which this node may have owned before.
// It never asks anybody else.
func (s *Chunks) handleHeld(ctx context.Context, asked cluster.Asked) cluster.Answer {
	var p place
	var err error
	if p.Chunk, p.name, err = s.chunkNamed(asked.Text); err != nil {
		return Refusal(err)
	}
	if !s.Has(p.Chunk) {
		return Refusal(ErrNotHeld)
	}
	held, err := s.serving.Hold(ctx, p.key.Org, p.id(), p.length)
	if err != nil {
		return Refusal(err)
	}
	b, ok := s.held(p)
	if !ok {
		held.Release()
		return Refusal(ErrNotHeld)
	}
	if _, self := s.ring.Owner(p.slot()); !self {
		s.demote(p)
	}
	return cluster.Answer{Status: http.StatusOK, Body: b, Sent: held.Release}
}

// demote makes a chunk that another node owns now, and has, a copy: it gives way to what
// only this node has. What was given, and nobody has compared here, is given up.
func (s *Chunks) demote(p place) {
	s.given.Take(p.slot(), p.name)
	if b, ok := s.own.Remove(p.name); ok {
		s.hot.Keep(p.name, b)
	}
}

// held returns a chunk that this node has, whoever owns it.
func (s *Chunks) held(p place) ([]byte, bool) {
	for _, get := range []func(string) ([]byte, bool){s.own.Get, s.hot.Get} {
		if b, ok := get(p.name); ok && p.isLong(b) == nil {
			return b, true
		}
	}
	if b, ok := s.given.Peek(p.slot(), p.name); ok && p.isLong(b) == nil {
		return b, true
	}
	return s.fromDisk(p)
}
