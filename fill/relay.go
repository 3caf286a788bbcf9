package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"larder/cluster"
	"larder/store"
)

const (
	// relayPiece is how many bytes are read before they are sent on, at most: so
	// many that neither end is woken too often.
	relayPiece = 1 << 20
	// relayLimit is how long an owner waits for a caller who takes the bytes
	// slowly. Then what is left is read into memory.
	relayLimit = time.Second
)

// relay is a chunk that its owner is giving to this node, on its way to the one
// caller who asked for it: it is sent on as it arrives, and never here as a
// whole. Its user closes it.
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

// send sends the chunk. If the owner breaks off, what is left comes from
// elsewhere: the bytes of a version are the same everywhere.
func (r *relay) send(w io.Writer) error {
	pool := r.filler.pieces.of(r.chunk.length)
	pooled := pool.Get().(*[]byte)
	defer pool.Put(pooled)
	buf, began := *pooled, time.Now()
	for left := r.chunk.length; left > 0; {
		piece := buf[:min(left, int64(len(buf)))]
		if _, err := io.ReadFull(r.rest, piece); err != nil {
			return r.sendLast(w, left, err)
		}
		if left -= int64(len(piece)); left == 0 {
			r.close() // whatever time the caller takes for the last piece
		}
		if _, err := w.Write(piece); err != nil {
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

// pieces are the buffers of relays.
type pieces struct{ small, large sync.Pool }

func newPieces() *pieces {
	buffer := func(n int) func() any {
		return func() any {
			b := make([]byte, n)
			return &b
		}
	}
	return &pieces{small: sync.Pool{New: buffer(freeLen)}, large: sync.Pool{New: buffer(relayPiece)}}
}

// of is the pool of buffers for a chunk of this length.
func (p *pieces) of(length int64) *sync.Pool {
	if length <= freeLen {
		return &p.small
	}
	return &p.large
}
