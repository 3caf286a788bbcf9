package fill

import (
	"errors"
	"fmt"
	"io"

	"github.com/golang/groupcache"

	"larder/keys"
	"larder/store"
)

// Object is one version of a key, being read. It is not safe for concurrent use.
type Object struct {
	Head store.Head
	// Source is where the first bytes came from.
	Source Source

	filler *Filler
	key    keys.Key
	first  groupcache.ByteView
}

// WriteTo writes the whole object, a chunk at a time, without copying it. An
// error means that fewer bytes were written: bytes of another version never are.
func (o *Object) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(bytesOf(o.first))
	total := int64(n)
	for i := 1; err == nil && total < o.Head.Size; i++ {
		var v groupcache.ByteView
		if v, _, err = o.filler.chunk(o.key, o.Head, i); err == nil {
			n, err = w.Write(bytesOf(v))
			total += int64(n)
		}
	}
	return total, err
}

// Reader reads any part of the object, fetching the chunks that are read.
func (o *Object) Reader() io.ReadSeeker { return &reader{object: o, at: o.first} }

// reader is a position in an object and the chunk that was read last.
type reader struct {
	object *Object
	off    int64
	at     groupcache.ByteView
	n      int
}

func (r *reader) Read(p []byte) (int, error) {
	h, chunkSize := r.object.Head, r.object.filler.cfg.ChunkSize
	if r.off >= h.Size {
		return 0, io.EOF
	}
	if n := int(r.off / chunkSize); n != r.n {
		v, _, err := r.object.filler.chunk(r.object.key, h, n)
		if err != nil {
			return 0, err
		}
		r.at, r.n = v, n
	}
	n := r.at.SliceFrom(int(r.off - int64(r.n)*chunkSize)).Copy(p)
	r.off += int64(n)
	return n, nil
}

var errSeek = errors.New("seek outside of the object")

func (r *reader) Seek(offset int64, whence int) (int64, error) {
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
