package fill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/golang/groupcache"

	"larder/keys"
	"larder/store"
)

// Object is one version of a key, being read. It is not safe for concurrent
// use. Its user closes it.
type Object struct {
	Head store.Head
	// Source is where the first bytes came from; empty if none were read.
	Source Source
	// HeadSource is where the head came from, of an object opened without bytes.
	HeadSource Source

	filler *Filler
	key    keys.Key
	first  groupcache.ByteView
	relay  *relay // of the first chunk; nil if it is here, or was not asked for
	pin    *pin   // of the first chunk
}

// Close gives back the memory that the object holds.
func (o *Object) Close() {
	if o.relay != nil {
		o.relay.close()
	}
	o.pin.release()
	o.pin, o.relay, o.first = nil, nil, groupcache.ByteView{}
}

// chunks is how many chunks the object has.
func (o *Object) chunks() int {
	size := o.filler.cfg.ChunkSize
	return int((o.Head.Size + size - 1) / size)
}

// Send writes the whole object, and fetches the next chunks while one is written.
// An error means that fewer bytes were written: bytes of another version never
// are. The object must have been opened with its first chunk, and is sent once.
func (o *Object) Send(ctx context.Context, w io.Writer) error {
	if o.chunks() < 2 {
		return o.sendFirst(w)
	}
	s := o.stream(1, o.chunks())
	defer s.close()
	s.fetchAhead()
	if err := o.sendFirst(w); err != nil {
		return err
	}
	o.Close()
	for range o.chunks() - 1 {
		c, err := s.take(ctx)
		if err != nil {
			return err
		}
		_, err = w.Write(bytesOf(c.view))
		c.drop()
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *Object) sendFirst(w io.Writer) error {
	if o.relay != nil {
		return o.relay.send(w)
	}
	_, err := w.Write(bytesOf(o.first))
	return err
}

// Reader reads any part of the object, and fetches only the chunks that are
// read, and while one is read the next ones that begin before end. It waits for
// nothing after ctx has ended. Its user closes it.
func (o *Object) Reader(ctx context.Context, end int64) *Reader {
	size := o.filler.cfg.ChunkSize
	return &Reader{ctx: ctx, object: o, n: -1, end: int((min(end, o.Head.Size) + size - 1) / size)}
}

// Reader is a position in an object and the chunk that was read last. The first
// error is its last word.
type Reader struct {
	ctx    context.Context // of the one request that reads
	object *Object
	off    int64
	end    int // the chunk before which fetching ahead ends
	stream stream
	at     *fetched // the chunk that is read
	n      int      // its number, or -1
	err    error
}

var _ io.ReadSeeker = (*Reader)(nil)

// Read reads from the chunk at the position.
func (r *Reader) Read(p []byte) (int, error) {
	if r.off >= r.object.Head.Size {
		return 0, io.EOF
	}
	if err := r.Ready(); err != nil {
		return 0, err
	}
	n := r.at.view.SliceFrom(int(r.off - int64(r.n)*r.object.filler.cfg.ChunkSize)).Copy(p)
	r.off += int64(n)
	return n, nil
}

// Ready fetches the chunk at the position, if there is one, and sets the
// object's Source if it was the first.
func (r *Reader) Ready() error {
	n := int(r.off / r.object.filler.cfg.ChunkSize)
	if r.err == nil && n != r.n && r.off < r.object.Head.Size {
		r.err = r.fetch(n)
	}
	return r.err
}

// fetch makes chunk n the one that is read from.
func (r *Reader) fetch(n int) error {
	r.drop()
	if r.stream.object == nil || r.stream.first() != n {
		r.stream.close()
		r.stream = r.object.stream(n, r.end)
	}
	c, err := r.stream.take(r.ctx)
	if err != nil {
		return err
	}
	if r.object.Source == "" {
		r.object.Source = c.source
	}
	r.at, r.n = c, n
	return nil
}

// drop gives back the chunk that is read.
func (r *Reader) drop() {
	if r.at != nil {
		r.at.drop()
	}
	r.at, r.n = nil, -1
}

// Close gives back the memory that the reader holds.
func (r *Reader) Close() {
	r.drop()
	r.stream.close()
}

var errSeek = errors.New("seek outside of the object")

// Seek moves the position.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.object.Head.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: %w", offset, errSeek)
	}
	r.off = offset
	return offset, nil
}
