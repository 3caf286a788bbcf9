package fill

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/golang/groupcache"

	"larder/cluster"
	"larder/keys"
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
	filler *Filler
	chunk  chunk

	mu    sync.Mutex    // guards the fields below; held while bytes are read
	rest  io.ReadCloser // what the owner gives; nil when it has been let go
	left  int64         // bytes of it that were not read
	taken []byte        // the last bytes, if they were read before the caller could take them
}

// passing is the digest of what a relay has sent on.
type passing struct {
	want  [sha256.Size]byte
	known bool // there is a digest to compare with
	sum   hash.Hash
}

func (f *Filler) newPassing(ctx context.Context, c chunk) *passing {
	p := &passing{sum: sha256.New()}
	if p.want, p.known = f.digestOf(ctx, c); !p.known {
		f.verified.unknown.Add(1)
	}
	return p
}

// write sends bytes on, and adds them to the digest meanwhile.
func (p *passing) write(w io.Writer, b []byte) error {
	if !p.known {
		_, err := w.Write(b)
		return err
	}
	summed := make(chan struct{})
	go func() {
		defer close(summed)
		_, _ = p.sum.Write(b) // a hash takes everything
	}()
	_, err := w.Write(b)
	<-summed
	return err
}

// askRelay asks a chunk's owner for it, as askChunk does, and leaves its bytes to
// be read.
func (f *Filler) askRelay(c chunk, owner cluster.Member) (r *relay, source Source, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, f.panicked(c.key, p)
		}
	}()
	q := f.chunkQuestion(c)
	q.Arriving = true
	said, err := f.ask(context.Background(), owner, q)
	if err != nil {
		return nil, "", err
	}
	r = &relay{filler: f, chunk: c, rest: said.Rest, left: said.Size}
	if said.Size != c.length {
		r.close()
		return nil, "", wrongLength(owner, said.Size, c)
	}
	return r, sourceOf(said), nil
}

// send sends the chunk as it arrives. If the owner breaks off, what is left comes
// from elsewhere: the bytes of a version are the same everywhere. The last bytes
// are held back until all have been compared with the chunk's digest.
func (r *relay) send(w io.Writer) error {
	defer r.close()
	p := r.filler.pieces.get(min(r.chunk.length, relayPiece))
	defer p.release()
	if r.chunk.length > int64(len(p.buf)) {
		defer time.AfterFunc(relayLimit, r.takeRest).Stop()
	}
	passed := r.filler.newPassing(context.Background(), r.chunk)
	for sent := int64(0); sent < r.chunk.length; {
		b, err := r.next(p.buf)
		if sent+int64(len(b)) == r.chunk.length && err == nil {
			err = r.compare(passed, b)
		}
		if err != nil {
			return r.sendElsewhere(w, passed, sent, err)
		}
		if err := passed.write(w, b); err != nil {
			return err
		}
		sent += int64(len(b))
	}
	return nil
}

// compare compares the chunk that ends with b with its digest.
func (r *relay) compare(passed *passing, b []byte) error {
	if !passed.known {
		return nil
	}
	_, _ = passed.sum.Write(b) // a hash takes everything
	return r.filler.compare(r.chunk, passed.want, [sha256.Size]byte(passed.sum.Sum(nil)), Peer)
}

// sendElsewhere sends what the owner did not give, from elsewhere. What was sent
// already has to be of the same bytes: if it is not, the caller hears no end.
func (r *relay) sendElsewhere(w io.Writer, passed *passing, sent int64, why error) error {
	if errors.Is(why, errDigest) && sent > 0 {
		return why
	}
	v, _, err := r.elsewhere(why)
	if err != nil {
		return err
	}
	b := bytesOf(v)
	if passed.known && sent > 0 {
		if err := r.filler.compare(r.chunk, sha256.Sum256(b[:sent]), [sha256.Size]byte(passed.sum.Sum(nil)), Peer); err != nil {
			return err
		}
	}
	_, err = w.Write(b[sent:])
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
func (r *relay) elsewhere(why error) (groupcache.ByteView, Source, error) {
	r.close()
	f, c := r.filler, r.chunk
	f.log.Debug().Err(why).Stringer("key", c.key).Msg("owner broke off in a chunk, fetching it elsewhere")
	owner, self := f.ring.Owner(keys.ChunkHash(c.key, c.n))
	if self {
		return f.ownChunk(c)
	}
	return f.copyOf(c, owner, why)
}

// fetch reads all of the chunk, for who sends it later. If the owner breaks off,
// it comes from elsewhere. The piece, which may be nil, is what holds it.
func (r *relay) fetch(source Source) (groupcache.ByteView, *piece, Source, error) {
	defer r.close()
	p := r.filler.pieces.get(r.chunk.length)
	b := p.buf[:r.chunk.length]
	_, err := io.ReadFull(r.rest, b)
	if err == nil {
		err = r.filler.check(context.Background(), r.chunk, b, Peer)
	}
	if err != nil {
		p.release()
		v, source, err := r.elsewhere(err)
		return v, nil, source, err
	}
	return viewOf(b), p, source, nil
}

// close lets the owner go.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.letGo()
}

// letGo is close for who holds mu.
func (r *relay) letGo() {
	if r.rest != nil {
		_ = r.rest.Close() // it was read from, and is done with
		r.rest = nil
	}
}

// pieces are the buffers of relays that are not in use.
type pieces struct {
	few, piece, whole *sync.Pool // of freeLen, relayPiece and chunkSize bytes
	chunkSize         int64
}

// piece is a buffer that is in use.
type piece struct {
	buf  []byte
	pool *sync.Pool // nil if nobody will use it again
}

func newPieces(chunkSize int64) pieces {
	pool := func(n int64) *sync.Pool {
		p := &sync.Pool{}
		p.New = func() any { return &piece{make([]byte, n), p} }
		return p
	}
	return pieces{few: pool(freeLen), piece: pool(relayPiece), whole: pool(chunkSize), chunkSize: chunkSize}
}

// get returns a buffer that has room for n bytes, and no more if they are counted.
func (p pieces) get(n int64) *piece {
	switch {
	case n <= freeLen:
		return p.few.Get().(*piece)
	case n == relayPiece:
		return p.piece.Get().(*piece)
	case n == p.chunkSize:
		return p.whole.Get().(*piece)
	}
	return &piece{buf: make([]byte, n)}
}

// release gives the buffer back. A nil piece is released any time.
func (p *piece) release() {
	if p != nil && p.pool != nil {
		p.pool.Put(p)
	}
}
