package fill

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"larder/budget"
	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// budgets bound the bytes of chunks that are held beside the memory tier, by
// what for. Each kind waits only for those below it, so that no two nodes wait
// for each other:
//
//	streams  chunks on their way to callers
//	serving  chunks on their way to peers
//	loads    chunks on their way from the store
type budgets struct {
	streams, serving *budget.Pins[chunkID]
	loads            *budget.Pool
}

func newBudgets(p budget.Plan) budgets {
	return budgets{
		streams: budget.NewPins[chunkID](
			budget.NewPool("chunks on their way to callers", p.Streams, 0),
			budget.NewPool("chunks of the memory tier on their way to callers", p.Resident, 0)),
		serving: budget.NewPins[chunkID](budget.NewPool("chunks on their way to peers", p.Serving, 0), nil),
		loads:   budget.NewPool("chunks on their way from the store", p.Loads, 0),
	}
}

// chunkID is a chunk of a key, of whichever version.
type chunkID struct {
	key keys.Key
	n   int
}

// pin is what counts the memory of one chunk.
type pin = budget.Pin[chunkID]

// place is where a chunk is to be had, by one look at the ring and one at the
// memory tier.
type place struct {
	chunk
	name   string // in the memory tier
	owner  cluster.Member
	self   bool   // this node is the owner
	view   []byte // the chunk, if the tier has it
	source Source // of the view; empty if the tier does not have the chunk
}

func (f *Filler) locate(c chunk) place {
	p := place{chunk: c}
	if c.length == 0 {
		p.source = Memory
		return p
	}
	p.name = c.name()
	p.owner, p.self = f.ring.Owner(keys.ChunkHash(c.key, c.n))
	var here bool
	if p.self {
		if p.view, here = f.owned.Peek(p.name); here {
			p.source = Memory
		}
	} else if p.view, here = f.hot.get(p.name); here {
		p.source = Hot
	}
	return p
}

// here reports whether the memory tier has the chunk.
func (p *place) here() bool { return p.source != "" }

// leave lets go of the bytes, so that they take no memory while their holder waits
// for memory.
func (p *place) leave() { p.view, p.source = nil, "" }

// data is a chunk on its way to one caller: its bytes, or a relay of those that
// its owner gives. Its user closes it.
type data struct {
	view   []byte
	relay  *relay // nil if the bytes are here
	source Source
	pin    *pin    // what counts its memory
	buffer *buffer // of the view, if nobody else has that
}

// close gives back the memory of a chunk. Its bytes are not read any more.
func (d *data) close() {
	if d.relay != nil {
		d.relay.close()
	}
	d.buffer.release()
	d.pin.Release()
	*d = data{}
}

// take returns a chunk for one caller, once there is memory for it.
func (f *Filler) take(ctx context.Context, user string, c chunk) (data, error) {
	p := f.locate(c)
	held, err := f.reserve(ctx, user, &p)
	if err != nil {
		return data{}, err
	}
	d, err := f.fetch(p, !held.Shared())
	d.pin = held
	if err != nil {
		d.close()
	}
	return d, err
}

// reserve takes memory for a chunk that a user is about to have.
func (f *Filler) reserve(ctx context.Context, user string, p *place) (*pin, error) {
	id := chunkID{p.key, p.n}
	if p.here() {
		if held, ok := f.budgets.streams.HoldResident(user, id, p.length); ok {
			return held, nil
		}
		p.leave()
	}
	held, err := f.budgets.streams.Hold(ctx, user, id, p.length)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", p.key, err)
	}
	return held, nil
}

// fetch returns a chunk from wherever it is to be had. If the store no longer has
// its version: store.ErrPrecondition. A chunk that another node owns is relayed to
// a caller who can take that, unless somebody else here is likely to want it soon.
func (f *Filler) fetch(p place, relays bool) (data, error) {
	switch {
	case p.here():
		return data{view: p.view, source: p.source}, nil
	case p.self:
		b, source, err := f.owned.Get(p.chunk, p.name)
		return data{view: b, source: source}, err
	case relays && !f.hot.known(p.name, p.length):
		d, err := f.askOwner(p, true)
		if err == nil {
			return d, nil
		}
		return f.copyOf(p, err)
	}
	return f.copyOf(p, nil)
}

// copyOf returns a chunk that another node owns, for all who want it at once: from
// this node's copies, from the owner, or, if that does not have it to give, from
// what this node owned before. If the owner gives no answer, then from the store.
// If the owner was asked already and has not given all of it, refused says why.
func (f *Filler) copyOf(p place, refused error) (data, error) {
	if b, ok := f.hot.get(p.name); ok {
		return data{view: b, source: Hot}, nil
	}
	got, err := f.hot.flights.Do(p.name, func() (any, error) {
		if b, ok := f.hot.get(p.name); ok { // another flight ended meanwhile
			return data{view: b, source: Hot}, nil
		}
		d, err := f.fetchCopy(p, refused)
		if err == nil && refused == nil && f.hot.wanted(p.name, p.length) {
			f.hot.keep(p.name, d.view)
		}
		return d, err
	})
	return got.(data), err
}

func (f *Filler) fetchCopy(p place, refused error) (d data, err error) {
	if err = refused; err == nil {
		d, err = f.askOwner(p, false)
	}
	if err == nil {
		return d, nil
	}
	if b, ok := f.owned.Peek(p.name); ok && p.isLong(b) == nil {
		return data{view: b, source: Memory}, nil
	}
	if errors.Is(err, errOwnerSays) {
		return data{}, err
	}
	f.log.Debug().Err(err).Str("peer", p.owner.Name).Msg("owner gave no chunk, reading the store")
	b, err := f.readChunk(p.chunk)
	return data{view: b, source: S3}, err
}

// load is where the tier of own chunks gets one: from the hot copies if another
// node owned it until now, or from the store.
func (f *Filler) load(c chunk, name string) ([]byte, Source, error) {
	if b, ok := f.hot.take(name); ok {
		return b, Hot, nil
	}
	b, err := f.readChunk(c)
	return b, S3, err
}

// readChunk reads a chunk from the store, and compares it with its digest.
func (f *Filler) readChunk(c chunk) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // a panic would strand the chunk's other callers
			err = f.panicked(c.key, p)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	grant, err := f.budgets.loads.Take(ctx, c.key.Org, c.length)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", c.key, err)
	}
	defer grant.Release()
	err = twice(func() (err error) {
		b, err = f.readRange(ctx, c)
		return err
	})
	return b, outOfTime(err)
}

// readRange is one try of readChunk. What is there under the chunk's ETag may be
// another write's: then the version is gone.
func (f *Filler) readRange(ctx context.Context, c chunk) ([]byte, error) {
	h, b, err := f.store.GetRange(ctx, c.key.Place(), c.version.ETag, int64(c.n)*f.cfg.ChunkSize, c.length)
	gone := errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotFound)
	if gone || err == nil && (!h.Is(c.version.ETag, c.version.Write) || h.Size != c.size) {
		f.heads.DropVersion(c.key, c.version)
		return nil, fmt.Errorf("get %s version %s: %w", c.key, c.version.ETag, store.ErrPrecondition)
	}
	if err != nil {
		return nil, err
	}
	if err := c.isLong(b); err != nil {
		return nil, err
	}
	return b, f.checkSum(ctx, f.withDigest(c, h), b, h.Sum, S3)
}

// Prime puts chunk n of a version that was just written into the memory of the
// node that owns it, so that nobody reads it from the store. The bytes must not
// change any more.
func (f *Filler) Prime(ctx context.Context, k keys.Key, h store.Head, n int, b []byte) error {
	c := f.chunkOf(k, h, n)
	if err := c.isLong(b); err != nil {
		return fmt.Errorf("prime %s: %w", k, err)
	}
	owner, self := f.ring.Owner(keys.ChunkHash(k, n))
	if !self {
		return f.sendChunk(ctx, owner, c, b)
	}
	if cap(b) > 2*len(b) {
		b = bytes.Clone(b) // a part would keep the whole of its buffer
	}
	f.owned.Add(c.name(), b)
	return nil
}
