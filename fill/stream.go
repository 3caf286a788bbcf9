package fill

import (
	"context"
	"io"

	"larder/fill/chunks"
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
	window []*chunks.Coming // fetched, or being fetched, and not taken
	next   int              // the chunk after those
	end    int              // the chunk before which the stream ends
	// depth is how many chunks are fetched while one is being sent. It begins
	// with one and doubles each time that the caller had to wait: a caller who
	// reads slowly holds little memory.
	depth int
}

// stream reads the chunks from first on, before the byte end.
func (o *Object) stream(first int, end int64) stream {
	size := o.filler.size
	return stream{object: o, next: first, end: int((end + size - 1) / size), depth: 1}
}

// send sends the bytes from off to end, which begin in the next chunk.
func (s *stream) send(ctx context.Context, w io.Writer, off, end int64) error {
	for off < end {
		first := int64(s.next-len(s.window)) * s.object.filler.size
		c, err := s.take(ctx)
		if err != nil {
			return err
		}
		b := c.View[off-first : min(end-first, int64(len(c.View)))]
		_, err = s.object.to(w, &c.Data).Write(b)
		c.Close()
		if err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// take waits for the next chunk, while those after it are fetched. The caller
// closes it.
func (s *stream) take(ctx context.Context) (*chunks.Coming, error) {
	if len(s.window) == 0 { // there was no memory to fetch it ahead
		if err := s.fetch(ctx, false); err != nil {
			return nil, err
		}
	}
	c := s.window[0]
	s.window = s.window[1:]
	s.fetchAhead(ctx)
	if !c.IsThere() { // then more are fetched at once from now on
		s.depth = min(2*s.depth, maxAhead)
		s.fetchAhead(ctx)
	}
	if err := c.Wait(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ready waits until the next chunk is here, and returns where it came from.
func (s *stream) ready(ctx context.Context) (chunks.Source, error) {
	c, err := s.take(ctx)
	if err != nil {
		return "", err
	}
	s.window = append([]*chunks.Coming{c}, s.window...)
	return c.Source, nil
}

// fetchAhead begins to fetch the chunks after the one to be sent, as far as the
// depth and the memory go.
func (s *stream) fetchAhead(ctx context.Context) {
	for s.next < s.end && len(s.window) < s.depth && s.fetch(ctx, true) == nil {
	}
}

// fetch begins to fetch the chunk after those of the window.
func (s *stream) fetch(ctx context.Context, ahead bool) error {
	o := s.object
	c, err := o.filler.chunks.Begin(ctx, o.user, o.filler.chunks.Of(o.key, o.Head, s.next), ahead)
	if err != nil {
		return err
	}
	s.window = append(s.window, c)
	s.next++
	return nil
}

// close gives back what was fetched and not taken, once it has been fetched.
func (s *stream) close() {
	for _, c := range s.window {
		c.Close()
	}
	s.window = nil
}
