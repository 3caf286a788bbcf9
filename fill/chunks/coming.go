package chunks

import "context"

// Coming is a chunk that is being fetched, for one caller. Its user closes it.
type Coming struct {
	Data // once it is there
	err  error
	done chan struct{} // closed when the data and err are set; nil if they are from the start
}

// Begin begins to fetch a chunk, once there is memory for it. Ahead, it does not wait
// for memory, but leaves some for those who wait, and fails with budget.ErrBusy.
func (s *Chunks) Begin(ctx context.Context, user string, of Chunk, ahead bool) (*Coming, error) {
	p := s.locate(of, nil)
	held, err := s.reserve(ctx, user, &p, ahead)
	if err != nil {
		return nil, err
	}
	c := &Coming{Data: p.Data}
	c.pin = held
	if p.IsHere() {
		return c, nil
	}
	c.done = make(chan struct{})
	s.fetches.Go(func() {
		defer close(c.done)
		d, err := s.fetch(p, !held.Shared())
		if d.relay != nil {
			d, err = d.relay.fetch(d.Source)
		}
		d.pin = held
		c.Data, c.err = d, err
	})
	return c, nil
}

// IsThere reports whether the chunk has been fetched, or could not be.
func (c *Coming) IsThere() bool {
	if c.done == nil {
		return true
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Wait waits until the chunk has been fetched. An error says why it could not be.
func (c *Coming) Wait(ctx context.Context) error {
	if c.done == nil {
		return nil
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close gives the chunk's memory back once it has been fetched. Its bytes are not
// read any more.
func (c *Coming) Close() {
	if c.done != nil {
		<-c.done // every fetch is bounded
	}
	c.Data.Close()
}
