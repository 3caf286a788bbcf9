package fill

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

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
	place  place

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

// askOwner asks a chunk's owner for it: for all of it, or, if it may arrive later,
// for a relay.
func (f *Filler) askOwner(p place, arriving bool) (d data, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			d, err = data{}, f.panicked(p.key, caught)
		}
	}()
	ctx := context.Background() // it is bounded
	said, err := f.ask(ctx, p.owner, cluster.Question{
		Route: chunkRoute, Text: f.textOf(p.chunk), Room: p.length, Within: fetchLimit, Arriving: arriving,
	})
	if err != nil {
		return data{}, err
	}
	d.source = Peer
	if string(said.Text) == string(S3) {
		d.source = S3
	}
	n := int64(len(said.Body))
	if said.Rest != nil {
		n = said.Size
		d.relay = &relay{filler: f, place: p, rest: said.Rest, left: n}
	}
	switch {
	case n != p.length:
		err = fmt.Errorf("%s gave %d bytes of a chunk of %d", p.owner.Name, n, p.length)
	case said.Rest == nil:
		d.view = said.Body
		err = f.check(ctx, p.chunk, said.Body, Peer)
	}
	if err != nil {
		d.close()
	}
	return d, err
}

// send sends the chunk as it arrives. If the owner breaks off, what is left comes
// from elsewhere: the bytes of a version are the same everywhere. The last bytes
// are held back until all have been compared with the chunk's digest.
func (r *relay) send(w io.Writer) error {
	defer r.close()
	p := r.filler.buffers.get(min(r.place.length, relayPiece))
	defer p.release()
	if r.place.length > int64(len(p.bytes)) {
		defer time.AfterFunc(relayLimit, r.takeRest).Stop()
	}
	passed := r.filler.newPassing(context.Background(), r.place.chunk)
	for sent := int64(0); sent < r.place.length; {
		b, err := r.next(p.bytes)
		if sent+int64(len(b)) == r.place.length && err == nil {
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
	return r.filler.compare(r.place.chunk, passed.want, [sha256.Size]byte(passed.sum.Sum(nil)), Peer)
}

// sendElsewhere sends what the owner did not give, from elsewhere. What was sent
// already has to be of the same bytes: if it is not, the caller hears no end.
func (r *relay) sendElsewhere(w io.Writer, passed *passing, sent int64, why error) error {
	if errors.Is(why, errDigest) && sent > 0 {
		return why
	}
	d, err := r.elsewhere(why)
	if err != nil {
		return err
	}
	b := d.view
	if passed.known && sent > 0 {
		if err := r.filler.compare(r.place.chunk, sha256.Sum256(b[:sent]), [sha256.Size]byte(passed.sum.Sum(nil)), Peer); err != nil {
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
func (r *relay) elsewhere(why error) (data, error) {
	r.close()
	r.filler.log.Debug().Err(why).Stringer("key", r.place.key).Msg("owner broke off in a chunk, fetching it elsewhere")
	return r.filler.copyOf(r.place, why)
}

// fetch reads all of the chunk, for who sends it later. If the owner breaks off,
// it comes from elsewhere.
func (r *relay) fetch(source Source) (data, error) {
	defer r.close()
	buf := r.filler.buffers.get(r.place.length)
	b := buf.bytes[:r.place.length]
	_, err := io.ReadFull(r.rest, b)
	if err == nil {
		err = r.filler.check(context.Background(), r.place.chunk, b, Peer)
	}
	if err != nil {
		buf.release()
		return r.elsewhere(err)
	}
	return data{view: b, source: source, buffer: buf}, nil
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

// holdAsked takes memory for the chunk that a peer's question is about, if this
// node owns it.
func (f *Filler) holdAsked(ctx context.Context, text string) (c chunk, name string, held *pin, err error) {
	if c, name, err = f.askedFor(text); err != nil {
		return c, name, nil, err
	}
	held, err = f.budgets.serving.Hold(ctx, c.key.Org, chunkID{c.key, c.n}, c.length)
	return c, name, held, err
}

func (f *Filler) askedFor(text string) (chunk, string, error) {
	c, name, err := chunkNamed(text, f.cfg.ChunkSize)
	if err != nil {
		return c, "", err
	}
	if _, self := f.ring.Owner(keys.ChunkHash(c.key, c.n)); !self {
		return c, "", errNotOwner
	}
	return c, name, nil
}

// answerChunk answers a peer that asks for a chunk which this node owns.
func (f *Filler) answerChunk(ctx context.Context, asked cluster.Asked) cluster.Answer {
	c, name, held, err := f.holdAsked(ctx, asked.Text)
	if err != nil {
		return refusal(err)
	}
	b, source, err := f.owned.Get(c, name)
	if err != nil {
		held.Release()
		return refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: []byte(source), Body: b, Sent: held.Release}
}

// sendChunk gives a chunk that was just written to its owner.
func (f *Filler) sendChunk(ctx context.Context, owner cluster.Member, c chunk, b []byte) error {
	q := cluster.Question{Route: keepRoute, Text: f.textOf(c), Body: b, Within: fetchLimit}
	if _, err := f.ask(ctx, owner, q); err != nil {
		return fmt.Errorf("send a chunk to %s: %w", owner.Name, err)
	}
	return nil
}

// keepChunk keeps a chunk that a peer has just written, if its bytes are those
// that the store holds.
func (f *Filler) keepChunk(ctx context.Context, asked cluster.Asked) cluster.Answer {
	c, name, held, err := f.holdAsked(ctx, asked.Text)
	if err != nil {
		return refusal(err)
	}
	defer held.Release()
	if asked.Size != c.length {
		return refusal(fmt.Errorf("%w: %d bytes of a chunk of %d", keys.ErrBadKey, asked.Size, c.length))
	}
	b, err := asked.ReadBody(c.length)
	if err != nil {
		return refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	if err := f.prove(ctx, c, b); err != nil {
		return refusal(err)
	}
	f.owned.Add(name, b)
	return cluster.Answer{Status: http.StatusOK}
}

// textOf names a chunk to its owner.
func (f *Filler) textOf(c chunk) string {
	return chunkText{size: c.size, chunk: f.cfg.ChunkSize, name: c.name()}.String()
}
