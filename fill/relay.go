package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/golang/groupcache"

	"larder/cluster"
	"larder/store"
)

const (
	// relayPiece is how many bytes are read before they are sent on, at most: so
	// many that neither end is woken too often.
	relayPiece = 512 << 10
	// relayLimit is how long an owner waits for a caller who takes the bytes
	// slowly. Then what is left is read into memory.
	relayLimit = time.Second
)

// relay is a chunk that its owner is giving to this node, on its way to the one
// caller who asked for it. It takes memory that others have used before and will
// use again. Its user closes it.
type relay struct {
	filler *Filler
	chunk  chunk
	rest   io.ReadCloser
}

// askRelay asks a chunk's owner for it, as askChunk does, and leaves its bytes to
// be read.
func (f *Filler) askRelay(c chunk, owner cluster.Member) (*relay, Source, error) {
	q := f.chunkQuestion(c)
	q.Arriving = true
	said, err := f.ask(context.Background(), owner, q)
	if err != nil {
		return nil, "", err
	}
	r := &relay{filler: f, chunk: c, rest: said.Rest}
	if said.Size != c.length {
		r.close()
		return nil, "", wrongLength(owner, said.Size, c)
	}
	return r, sourceOf(said), nil
}

// close lets the owner go.
func (r *relay) close() {
	if r.rest != nil {
		_ = r.rest.Close() // it was read from, and is done with
	}
}

// send sends the chunk as it arrives. If the owner breaks off, what is left comes
// from elsewhere: the bytes of a version are the same everywhere.
func (r *relay) send(w io.Writer) error {
	p := r.filler.pieces.get(min(r.chunk.length, relayPiece))
	defer p.release()
	buf, began := p.buf, time.Now()
	for left := r.chunk.length; left > 0; {
		next := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(r.rest, next); err != nil {
			return r.sendLast(w, left, err)
		}
		if left -= int64(len(next)); left == 0 {
			r.close() // whatever time the caller takes for the last bytes
		}
		if _, err := w.Write(next); err != nil {
			return err
		}
		if left > int64(len(buf)) && time.Since(began) > relayLimit {
			buf = make([]byte, left)
		}
	}
	return nil
}

// sendLast sends the last bytes of a chunk whose owner broke off.
func (r *relay) sendLast(w io.Writer, left int64, why error) error {
	r.close()
	f, c := r.filler, r.chunk
	f.log.Debug().Err(why).Stringer("key", c.key).Msg("owner broke off in a chunk, fetching it again")
	v, _, err := f.chunk(c)
	if errors.Is(err, store.ErrPrecondition) {
		return fmt.Errorf("get %s: rewritten while it was read: %w", c.key, store.ErrUnavailable)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(bytesOf(v.SliceFrom(v.Len() - int(left))))
	return err
}

// fetch reads all of the chunk, for who sends it later. If the owner breaks off,
// it comes from elsewhere. The piece, which may be nil, is what holds it.
func (r *relay) fetch(source Source) (groupcache.ByteView, *piece, Source, error) {
	defer r.close()
	p := r.filler.pieces.get(r.chunk.length)
	b := p.buf[:r.chunk.length]
	if _, err := io.ReadFull(r.rest, b); err != nil {
		p.release()
		v, source, err := r.filler.chunk(r.chunk)
		return v, nil, source, err
	}
	return viewOf(b), p, source, nil
}

// pieces are the buffers of relays that are not in use: of freeLen, relayPiece
// and a chunk's bytes.
type pieces [3]*sync.Pool

// piece is a buffer that is in use.
type piece struct {
	buf  []byte
	pool *sync.Pool
}

func newPieces(chunkSize int64) (all pieces) {
	for i, n := range []int64{freeLen, relayPiece, chunkSize} {
		pool := &sync.Pool{}
		pool.New = func() any { return &piece{make([]byte, n), pool} }
		all[i] = pool
	}
	return all
}

// get returns a buffer that has room for n bytes, at most a chunk.
func (p pieces) get(n int64) *piece {
	switch {
	case n <= freeLen:
		return p[0].Get().(*piece)
	case n <= relayPiece:
		return p[1].Get().(*piece)
	}
	return p[2].Get().(*piece)
}

// release gives the buffer back. A nil piece is released any time.
func (p *piece) release() {
	if p != nil {
		p.pool.Put(p)
	}
}
