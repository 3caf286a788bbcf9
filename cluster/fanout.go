package cluster

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// Ack is one member's answer to a Fanout; Err is nil if it acknowledged, with a text.
type Ack struct {
	Member Member
	Text   string
	Err    error
}

// Fanout tells all members at once and returns their answers in the same order:
// a status of 2xx acknowledges, any other is Refused. It takes as long as the
// slowest member, at most until ctx ends; a member that fails or hangs does not
// touch the others. A message may arrive twice.
func (c *Cluster) Fanout(ctx context.Context, members []Member, route, text string) []Ack {
	acks := make([]Ack, len(members))
	tell := func(i int) {
		said, err := c.tell(ctx, members[i], route, text)
		acks[i] = Ack{Member: members[i], Text: said, Err: err}
	}
	var wg sync.WaitGroup
	for i := range members {
		if i == len(members)-1 {
			tell(i) // a goroutine less
			break
		}
		wg.Go(func() { tell(i) })
	}
	wg.Wait()
	return acks
}

// Refused is the answer of a member that was reached and did not acknowledge.
type Refused struct {
	Status int
	Detail string
}

// Error says what the member answered.
func (r *Refused) Error() string {
	return fmt.Sprintf("answered %d %s: %s", r.Status, http.StatusText(r.Status), r.Detail)
}

func (c *Cluster) tell(ctx context.Context, m Member, route, text string) (said string, err error) {
	a, err := c.Ask(ctx, m, Question{Route: route, Text: text})
	if err != nil {
		return "", fmt.Errorf("%s: %w", route, err)
	}
	if a.Status/100 != 2 {
		return "", fmt.Errorf("%s: %s %w", route, m.Name, &Refused{Status: a.Status, Detail: string(a.Text)})
	}
	return string(a.Text), nil
}
