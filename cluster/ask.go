package cluster

import (
	"context"
	"fmt"
	"net/http"

	"larder/peer"
)

type (
	// Question is what a node asks a member.
	Question = peer.Question
	// Answer is what a member says to a Question.
	Answer = peer.Answer
	// Asked is a Question as it arrives.
	Asked = peer.Asked
	// Handler answers questions.
	Handler = peer.Handler
)

// Handle makes h answer the questions that members ask on a route. It must be
// called before Run. A process that is no Asker is refused with 421 (Misdirected
// Request), which may pass: this node does not know of it yet.
func (c *Cluster) Handle(route string, h Handler) {
	c.port.Handle(route, func(ctx context.Context, asked Asked) Answer {
		if _, ok := c.Asker(asked.From); !ok {
			c.askerLog.Warn().Str("id", asked.From).Str("route", route).
				Msg("refused a question of a process that is no member here: it has not joined yet, or was seen dead")
			return Answer{Status: http.StatusMisdirectedRequest, Text: []byte("not a member here, or not yet")}
		}
		return h(ctx, asked)
	})
}

// Asker returns the process with this ID if it may ask this node: a member, also
// one that is leaving or has left and finishes what it has to do, or a start of a
// node whose place a later start has taken. ok is false for a process that this
// node takes for dead, or does not know.
func (c *Cluster) Asker(id string) (m Member, ok bool) {
	if m, ok := c.Member(id); ok {
		return m, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec, ok := c.records[id]; ok {
		return rec.Member, true
	}
	return c.gone.left(id)
}

// Ask asks m a question and waits for the answer: as long as ctx allows, and no
// longer than the member shows that it is at work. It ends with ErrMemberGone
// when m is seen dead; a member that said goodbye before is left to finish.
//
// An error that is ErrUnreachable says that m surely did not hear the question.
// After any other it may have.
func (c *Cluster) Ask(ctx context.Context, m Member, q Question) (Answer, error) {
	pool := c.poolOf(m.ID)
	if pool == nil {
		return Answer{}, fmt.Errorf("ask %s: %w: %w", m.Name, ErrUnreachable, ErrMemberGone)
	}
	a, err := pool.Ask(ctx, q)
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s: %w", m.Name, err)
	}
	return a, nil
}

func (c *Cluster) poolOf(id string) *peer.Pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec, ok := c.records[id]; ok {
		return rec.pool
	}
	return nil
}
