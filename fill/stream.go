package fill

import (
	"context"
	"io"
)

// maxAhead is how many chunks are fetched, at most, while one is being sent. A
// single connection to S3 gives some 90 MB/s, and a chunk's first byte takes
// tens of milliseconds: eight at once are what a parallel download needs.
const maxAhead = 8

// stream is the chunks of an object on their way to one caller, in order. It is
// not safe for concurrent use. Its user closes it.
//
// A chunk is fetched ahead only if there is memory for it at once, and the one
// that is to be sent next is waited for only when the stream holds no other. So
// no stream that holds memory waits for memory.
type stream struct {
	object *Object
	window []*fetched // fetched, or being fetched, and not taken
	next   int        // the chunk after those
	end    int        // the chunk before which the stream ends
	// depth is how many chunks are fetched while one is being sent. It begins
	// with one and doubles each time that the caller had to wait: who reads
	// slowly holds little memory.
	depth int
}

// fetched is a chunk that is being fetched, for one stream.
type fetched struct {
	data
	err  error
	done chan struct{} // closed when data and err are set; nil if they are from the start
}

// stream reads the chunks from first on, before the byte end.
func (o *Object) stream(first int, end int64) stream {
	size := o.filler.cfg.ChunkSize
	return stream{object: o, next: first, end: int((end + size - 1) / size), depth: 1}
}

// send sends the bytes from off to end, which begin in the next chunk.
func (s *stream) send(ctx context.Context, w io.Writer, off, end int64) error {
	for off < end {
		first := int64(s.next-len(s.window)) * s.object.filler.cfg.ChunkSize
		c, err := s.take(ctx)
		if err != nil {
			return err
		}
		b := c.view[off-first : min(end-first, int64(len(c.view)))]
		_, err = s.object.to(w, c.pin).Write(b)
		c.drop()
		if err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// take waits for the next chunk, while those after it are fetched. The caller
// drops it.
func (s *stream) take(ctx context.Context) (*fetched, error) {
	if len(s.window) == 0 { // there was no memory to fetch it ahead
		p := s.locate()
		held, err := s.object.filler.reserve(ctx, s.object.user, &p)
		if err != nil {
			return nil, err
		}
		s.fetch(p, held)
	}
	c := s.window[0]
	s.window = s.window[1:]
	s.fetchAhead()
	if err := s.wait(ctx, c); err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}

// ready waits until the next chunk is here, and returns where it came from.
func (s *stream) ready(ctx context.Context) (Source, error) {
	c, err := s.take(ctx)
	if err != nil {
		return "", err
	}
	s.window = append([]*fetched{c}, s.window...)
	return c.source, nil
}

// wait waits for a chunk, and fetches more at once from then on if it has to.
func (s *stream) wait(ctx context.Context, c *fetched) error {
	if c.isThere() {
		return c.err
	}
	s.depth = min(2*s.depth, maxAhead)
	s.fetchAhead()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stream) locate() place {
	o := s.object
	return o.filler.locate(o.filler.chunkOf(o.key, o.Head, s.next))
}

// fetchAhead begins to fetch the chunks after the one to be sent, as far as the
// depth and the memory go.
func (s *stream) fetchAhead() {
	streams, user := s.object.filler.budgets.streams, s.object.user
	for s.next < s.end && len(s.window) < s.depth {
		p := s.locate()
		var held *pin
		ok := false
		if p.here() {
			held, ok = streams.HoldResident(user, chunkID{p.key, p.n}, p.length)
		}
		if !ok {
			held, ok = streams.HoldAhead(user, chunkID{p.key, p.n}, p.length)
		}
		if !ok {
			return
		}
		s.fetch(p, held)
	}
}

// fetch begins to fetch the chunk after those of the window.
func (s *stream) fetch(p place, held *pin) {
	f, c := s.object.filler, &fetched{data: data{pin: held, view: p.view, source: p.source}}
	s.window = append(s.window, c)
	s.next++
	if p.here() {
		return
	}
	c.done = make(chan struct{})
	f.flights.Go(func() {
		defer close(c.done)
		d, err := f.fetch(p, !held.Shared())
		if d.relay != nil {
			d, err = d.relay.fetch(d.source)
		}
		d.pin = held
		c.data, c.err = d, err
	})
}

// close gives back what was fetched and not taken, once it has been fetched.
func (s *stream) close() {
	for _, c := range s.window {
		c.drop()
	}
	s.window = nil
}

// isThere reports whether the chunk has been fetched.
func (c *fetched) isThere() bool {
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

// drop gives the chunk's memory back once it has been fetched. Its bytes are not
// read any more.
func (c *fetched) drop() {
	if c.done != nil {
		<-c.done // every fetch is bounded
	}
	c.close()
}
