package fill

import (
	"context"

	"github.com/golang/groupcache"
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
	end    int        // the chunk before which fetching ahead ends
	// depth is how many chunks are fetched while one is being sent. It begins
	// with one and doubles each time that the caller had to wait: who reads
	// slowly holds little memory.
	depth int
}

// fetched is a chunk that is being fetched, for one stream.
type fetched struct {
	done   chan struct{} // closed when the fields below are set
	view   groupcache.ByteView
	source Source
	err    error
	pin    *pin   // set from the start
	piece  *piece // what holds the view, if it is nobody else's
}

// stream reads the chunks from first on. Those from end on are fetched only when
// they are taken.
func (o *Object) stream(first, end int) stream {
	return stream{object: o, next: first, end: end, depth: 1}
}

// first is the number of the chunk that take returns.
func (s *stream) first() int { return s.next - len(s.window) }

// take waits for the next chunk, while those after it are fetched. The caller
// drops it.
func (s *stream) take(ctx context.Context) (*fetched, error) {
	if len(s.window) == 0 { // there was no memory to fetch it ahead
		o := s.object
		p, err := o.filler.budgets.streams.hold(ctx, o.key, s.next, o.filler.chunkLen(o.Head.Size, s.next))
		if err != nil {
			return nil, err
		}
		s.fetch(p)
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

// wait waits for a chunk, and fetches more at once from then on if it has to.
func (s *stream) wait(ctx context.Context, c *fetched) error {
	select {
	case <-c.done:
		return c.err
	default:
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

// fetchAhead begins to fetch the chunks after the one to be sent, as far as the
// depth and the budget go.
func (s *stream) fetchAhead() {
	o := s.object
	for s.next < s.end && len(s.window) < s.depth {
		p, ok := o.filler.budgets.streams.tryHold(o.key, s.next, o.filler.chunkLen(o.Head.Size, s.next))
		if !ok {
			return
		}
		s.fetch(p)
	}
}

// fetch begins to fetch the chunk after those of the window.
func (s *stream) fetch(p *pin) {
	o, next := s.object, s.object.filler.chunkOf(s.object.key, s.object.Head, s.next)
	c := &fetched{done: make(chan struct{}), pin: p}
	s.window = append(s.window, c)
	s.next++
	o.filler.flights.Go(func() {
		defer close(c.done)
		var r *relay
		if c.view, r, c.source, c.err = o.filler.chunkToSend(next, p); r != nil {
			c.view, c.piece, c.source, c.err = r.fetch(c.source)
		}
	})
}

// close gives back what was fetched and not taken, once it has been fetched.
func (s *stream) close() {
	for _, c := range s.window {
		c.drop()
	}
	s.window = nil
}

// drop gives the chunk's memory back once it has been fetched. Its bytes are not
// read any more.
func (c *fetched) drop() {
	<-c.done // every fetch is bounded
	c.view = groupcache.ByteView{}
	c.piece.release()
	c.pin.release()
}
