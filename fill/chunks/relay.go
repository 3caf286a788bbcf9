package chunks

import (
	"errors"
	"io"
	"sync"
	"time"

	"larder/budget"
)

const (
	// relayPiece is how many bytes are read before they are sent on, at most: so
	// many that neither end is woken too often.
	relayPiece = 512 << 10
	// relayLimit is how long an owner is held by a caller who takes the bytes
	// slowly. Then what is left is read into memory.
	relayLimit = time.Second
)

// relay is a chunk that its owner is giving to this node, on its way to the one
// caller who asked for it. It takes memory that others have used before and will
// use again. Its user sends or fetches it, once, and closes it.
type relay struct {
	chunks *Chunks
	place  place

	mu    sync.Mutex    // guards the fields to the next empty line; held while bytes are read
	rest  io.ReadCloser // what the owner gives; nil when it has been let go
	left  int64         // bytes of it that were not read
	taken []byte        // the last bytes, if they were read before the caller could take them

	sum    uint64   // the chunk's, as its owner says, if it is summed
	summed bool     // it says one
	passed *passing // what was sent on; nil if there is nothing to compare that with
}

// send sends the chunk as it arrives. If the owner breaks off, what is left comes
// from elsewhere: the bytes of a version are the same everywhere. The last bytes
// are held back until all have been compared with the chunk's digest.
func (r *relay) send(w io.Writer) error {
	defer r.close()
	p := r.chunks.buffers.get(min(r.place.length, relayPiece))
	defer p.release()
	if r.place.length > int64(len(p.bytes)) {
		defer time.AfterFunc(relayLimit, r.takeRest).Stop()
	}
	r.passed = r.chunks.digests.passing(r.place.Chunk, r.sum, r.summed)
	for sent := int64(0); sent < r.place.length; {
		b, err := r.next(p.bytes)
		if sent+int64(len(b)) == r.place.length && err == nil {
			err = r.passed.end(b)
		}
		if err != nil {
			return r.sendElsewhere(w, sent, err)
		}
		if err := r.sendOn(w, b); err != nil {
			return err
		}
		sent += int64(len(b))
	}
	return nil
}

// sendOn sends bytes on, and adds them to the digest meanwhile.
func (r *relay) sendOn(w io.Writer, b []byte) error {
	if r.passed == nil {
		_, err := w.Write(b)
		return err
	}
	summed := make(chan struct{})
	go func() {
		defer close(summed)
		r.passed.add(b)
	}()
	_, err := w.Write(b)
	<-summed
	return err
}

// sendElsewhere sends what the owner did not give, from elsewhere. What was sent
// already has to be of the same bytes: if it is not, the caller hears no end.
func (r *relay) sendElsewhere(w io.Writer, sent int64, why error) error {
	if errors.Is(why, errDigest) && sent > 0 {
		return why
	}
	d, err := r.elsewhere(why)
	if err != nil {
		return err
	}
	if err := r.passed.isOf(d.View[:sent]); err != nil {
		return err
	}
	_, err = w.Write(d.View[sent:])
	return err
}

// next returns the bytes that come next, in buf unless they are here already.
func (r *relay) next(buf []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken != nil {
		return r.taken, nil
	}
	b := buf[:min(r.left, int64(len(buf)))]
	return b, r.read(b)
}

// read reads bytes, and lets the owner go when there are no more of them, however
// long the caller takes for the last ones. The caller of read holds mu.
func (r *relay) read(b []byte) error {
	if r.rest == nil {
		return errBrokenOff
	}
	if _, err := io.ReadFull(r.rest, b); err != nil {
		return err
	}
	if r.left -= int64(len(b)); r.left == 0 {
		r.letGo()
	}
	return nil
}

var errBrokenOff = errors.New("the owner broke off")

// takeRest reads what is left, so that a caller who is slow does not hold the owner.
func (r *relay) takeRest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rest == nil {
		return
	}
	b := make([]byte, r.left)
	if err := r.read(b); err != nil {
		r.letGo()
		return
	}
	r.taken = b
}

// elsewhere fetches a chunk whose owner broke off.
func (r *relay) elsewhere(why error) (Data, error) {
	r.close()
	r.chunks.log.Debug().Err(why).Stringer("key", r.place.key).Msg("owner broke off in a chunk, fetching it elsewhere")
	return r.chunks.copyOf(r.place, why)
}

// fetch reads all of the chunk, for a caller who sends it later. If the owner breaks off,
// it comes from elsewhere.
func (r *relay) fetch(source Source) (Data, error) {
	defer r.close()
	buf := r.chunks.buffers.get(r.place.length)
	b := buf.bytes[:r.place.length]
	_, err := io.ReadFull(r.rest, b)
	if err == nil {
		err = r.chunks.digests.passing(r.place.Chunk, r.sum, r.summed).end(b)
	}
	if err != nil {
		buf.release()
		return r.elsewhere(err)
	}
	return Data{View: b, Source: source, buffer: buf}, nil
}

// close lets the owner go.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letGo()
}

// letGo is close for a caller who holds mu.
func (r *relay) letGo() {
	if r.rest != nil {
		_ = r.rest.Close() // it was read from, and is done with
		r.rest = nil
	}
}

// buffers are those of relays that are not in use.
type buffers struct {
	few, piece, whole *sync.Pool // of budget.FreeLen, relayPiece and chunkSize bytes
	chunkSize         int64
}

// buffer is one that is in use.
type buffer struct {
	bytes []byte
	pool  *sync.Pool // nil if nobody will use it again
}

func newBuffers(chunkSize int64) buffers {
	pool := func(n int64) *sync.Pool {
		p := &sync.Pool{}
		p.New = func() any { return &buffer{make([]byte, n), p} }
		return p
	}
	return buffers{few: pool(budget.FreeLen), piece: pool(relayPiece), whole: pool(chunkSize), chunkSize: chunkSize}
}

// get returns a buffer of at least n bytes; of exactly n where n is charged to a
// budget, so that the charge is true.
func (b buffers) get(n int64) *buffer {
	switch {
	case n <= budget.FreeLen:
		return b.few.Get().(*buffer)
	case n == relayPiece:
		return b.piece.Get().(*buffer)
	case n == b.chunkSize:
		return b.whole.Get().(*buffer)
	}
	return &buffer{bytes: make([]byte, n)}
}

// release gives the buffer back. A nil buffer is released any time.
func (b *buffer) release() {
	if b != nil && b.pool != nil {
		b.pool.Put(b)
	}
}
