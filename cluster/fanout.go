package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

const (
	ackBodyShown   = 200      // bytes of a refusal that go into the error
	ackBodyDrained = 64 << 10 // read so that the connection can be used again
)

// Ack is one member's answer to a Fanout; Err is nil if it acknowledged.
type Ack struct {
	Member Member
	Err    error
}

// Refused is the answer of a member that was reached and did not acknowledge.
type Refused struct {
	Status int
	Detail string // the beginning of its answer's body
}

// Error says what the member answered.
func (r *Refused) Error() string { return fmt.Sprintf("answered %d: %s", r.Status, r.Detail) }

// Fanout posts body to path at all members at once and returns their answers in the same order: a status of 2xx
// acknowledges. It takes as long as the slowest member, at most until ctx ends; a member that fails or hangs does
// not touch the others. A message may arrive twice: it is sent again when a kept-alive connection turns out dead.
func (c *Cluster) Fanout(ctx context.Context, members []Member, path string, body []byte) []Ack {
	acks := make([]Ack, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { acks[i] = Ack{Member: m, Err: c.post(ctx, m, path, body)} })
	}
	wg.Wait()
	return acks
}

func (c *Cluster) post(ctx context.Context, m Member, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	req.Header["Idempotency-Key"] = nil // tells net/http that it may send the request again; nothing goes on the wire
	resp, err := c.Do(ctx, m, req)
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		detail, _ := io.ReadAll(io.LimitReader(resp.Body, ackBodyShown))
		return fmt.Errorf("post %s to %s: %w", path, m.Name, &Refused{Status: resp.StatusCode, Detail: strings.TrimSpace(string(detail))})
	}
	_, _ = io.CopyN(io.Discard, resp.Body, ackBodyDrained) // the status is the acknowledgement
	return nil
}
