package fill

import (
	"context"
	"io"

	"larder/budget"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// Object is one version of a key, being read. It is not safe for concurrent
// use. Its user closes it.
type Object struct {
	Head store.Head
	// Source is where the first bytes came from; empty if none were read.
	Source chunks.Source
	// HeadSource is where the head came from, of an object opened without bytes.
	HeadSource chunks.Source

	filler *Filler
	key    keys.Key
	known  heads.Known
	user   string
	cut    func()
	holder *budget.Holder // watches over the caller while it takes bytes that others may wait for
	first  chunks.Data    // the first chunk, unless the object was opened without
}

// Close gives back the memory that the object holds.
func (o *Object) Close() { o.first.Close() }

// Send writes the whole object, and fetches the next chunks while one is written.
// An error means that fewer bytes were written: bytes of another version never
// are. The object must have been opened with its first chunk, and is sent once.
func (o *Object) Send(ctx context.Context, w io.Writer) error {
	size := o.filler.size
	if o.Head.Size <= size {
		return o.sendFirst(w)
	}
	s := o.stream(1, o.Head.Size)
	defer s.close()
	s.fetchAhead(ctx)
	if err := o.sendFirst(w); err != nil {
		return err
	}
	o.Close()
	return s.send(ctx, w, size, o.Head.Size)
}

func (o *Object) sendFirst(w io.Writer) error {
	return o.first.Send(o.to(w, &o.first))
}

// IsWatched reports whether others may wait for the memory of the bytes that Send is
// writing.
func (o *Object) IsWatched() bool { return o.holder.IsWatched() }

// Moved notes that the caller has taken bytes of what Send writes. A writer that
// passes on much at once calls it for each piece: a caller who takes less than 16 KiB a second
// while others wait for memory is cut off.
func (o *Object) Moved(n int) {
	if o.holder != nil {
		o.holder.Moved(n)
	}
}

// to is the caller, watched over while it takes the bytes of a chunk.
func (o *Object) to(w io.Writer, d *chunks.Data) io.Writer {
	if !d.IsCounted() || o.cut == nil {
		return w
	}
	return watched{w, o, d}
}

type watched struct {
	io.Writer
	object *Object
	data   *chunks.Data
}

func (w watched) Write(b []byte) (int, error) {
	o := w.object
	if o.holder = w.data.Watch(o.cut); o.holder != nil {
		defer func() {
			o.holder.Done()
			o.holder = nil
		}()
	}
	return w.Writer.Write(b)
}

// Part is some bytes of an object, on their way to one caller. Its user closes it.
type Part struct {
	object   *Object
	off, end int64
	stream   stream
}

// Part waits for the first chunk of the bytes from off to end, and sets the
// object's Source. Only the chunks that hold those bytes are fetched.
func (o *Object) Part(ctx context.Context, off, end int64) (*Part, error) {
	p := &Part{object: o, off: off, end: min(end, o.Head.Size)}
	p.stream = o.stream(int(off/o.filler.size), p.end)
	if off >= p.end {
		return p, nil
	}
	source, err := p.stream.ready(ctx)
	if err == nil && late(o.known) {
		err = lateError(o.key)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	o.Source = source
	return p, nil
}

// Send writes the part, as Object.Send does. It is sent once.
func (p *Part) Send(ctx context.Context, w io.Writer) error {
	return p.stream.send(ctx, w, p.off, p.end)
}

// Close gives back the memory that the part holds.
func (p *Part) Close() { p.stream.close() }
