package cluster

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"larder/test/testcluster"
)

// ask asks one of the test's routes.
func ask(ctx context.Context, n node, m Member, q Question) (Answer, error) {
	q.Room = 16 << 20
	return n.Ask(ctx, m, q)
}

func TestAskerIsAMember(t *testing.T) {
	a := start(t, "a")
	askers := make(chan Member, 1)
	b := start(t, "b", joining(a), before(func(c *Cluster) {
		c.Handle("who", func(_ context.Context, asked Asked) Answer {
			m, ok := c.Member(asked.From)
			askers <- m
			if !ok {
				return Answer{Status: http.StatusForbidden}
			}
			return Answer{Status: http.StatusOK}
		})
	}))
	agree(t, a, b)
	tell := func() error { return a.Fanout(t.Context(), []Member{b.self}, "who", "")[0].Err }
	if err := tell(); err != nil {
		t.Error(err)
	}
	if m := <-askers; m != a.self {
		t.Errorf("the asker is %v", m)
	}
	if err := a.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *Refused
	if err := tell(); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("an asker that has left: %v", err)
	}
	if m := <-askers; m != (Member{}) {
		t.Errorf("the asker is %v", m)
	}
}

func TestRunTwice(t *testing.T) {
	n := start(t, "a")
	testcluster.Soon(t, func() error {
		if !n.started.Load() {
			return errors.New("not started")
		}
		return nil
	})
	if err := n.Run(t.Context()); err == nil {
		t.Error("ran twice")
	}
}
