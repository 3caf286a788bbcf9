package cluster

import (
	"context"
	"fmt"

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

// Handle has the questions that members ask on a route answered by h. It must
// be called before Run.
func (c *Cluster) Handle(route string, h Handler) { c.port.Handle(route, h) }

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
