package chunks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unsafe"

	"larder/budget"
	"larder/cluster"
	"larder/keys"
)

// Source is where an answer came from.
type Source string

// The sources, as Cache-Status and the metrics name them.
const (
	Memory Source = "memory" // this node's
	Hot    Source = "hot"    // this node's copy of a chunk that another owns
	Peer   Source = "peer"   // another node's memory: that of the owner, or of a member that owned it before
	Disk   Source = "disk"   // this node's disk, or the owner's
	S3     Source = "s3"
	// Writer is the source of chunks that nodes give to the owner after a write.
	Writer Source = "writer"
)

// Data is a chunk on its way to one caller: its bytes, or a relay of those that
// its owner gives. Its user closes it.
type Data struct {
	Source Source // empty if there is no chunk
	View   []byte
	relay  *relay        // nil if the bytes are here
	pin    *pin          // what counts its memory
	grant  *budget.Grant // the same, of a view that nobody else has
	buffer *buffer       // of the view, if nobody else has that
}

// pin is what counts the memory of one chunk.
type pin = budget.Pin[id]

// IsHere reports whether there is a chunk.
func (d *Data) IsHere() bool { return d.Source != "" }

// IsCounted reports whether the chunk is charged to a budget, for which others may
// wait.
func (d *Data) IsCounted() bool { return d.pin != nil }

// Watch watches over the caller that the chunk is being sent to, until Done: if it
// stalls while others wait for memory, cut ends it. It returns nil if there is nothing
// to watch.
func (d *Data) Watch(cut func()) *budget.Holder { return d.pin.Watch(cut) }

// Share is the same chunk for one more caller.
func (d *Data) Share() Data { return Data{Source: d.Source, View: d.View, pin: d.pin.Again()} }

// Send writes the chunk, once.
func (d *Data) Send(w io.Writer) error {
	if d.relay != nil {
		return d.relay.send(w)
	}
	_, err := w.Write(d.View)
	return err
}

// Close gives back the memory of a chunk. Its bytes are not read any more.
func (d *Data) Close() {
	if d.relay != nil {
		d.relay.close()
	}
	d.buffer.release()
	d.grant.Release()
	d.pin.Release()
	*d = Data{}
}

// Owner is the member that owns a chunk.
type Owner struct {
	cluster.Member
	Self bool // it is this node
}

// place is where a chunk is to be had, by one look at the ring and one at the
// memory tier.
type place struct {
	Chunk
	name  string // in the memory tier
	owner Owner
	Data  // the chunk, if the tier has it
	// noDisk is set once this node's disk was asked and did not give it.
	noDisk bool
}

// locate looks for a chunk. If its owner is known already, the ring is not asked.
func (s *Chunks) locate(c Chunk, owner *Owner) place {
	p := place{Chunk: c}
	if c.length == 0 {
		p.Source = Memory
		return p
	}
	p.name = c.name()
	if owner != nil {
		p.owner = *owner
	} else {
		p.owner.Member, p.owner.Self = s.ring.Owner(keys.ChunkHash(c.key, c.n))
	}
	s.look(&p)
	return p
}

// look looks for a chunk in the part of the memory tier that it belongs to.
func (s *Chunks) look(p *place) {
	get, source := s.hot.Get, Hot
	if p.owner.Self {
		get, source = s.own.Get, Memory
	}
	if b, ok := get(p.name); ok {
		p.Data = Data{View: b, Source: source}
	}
}

// Take returns a chunk for one caller, once there is memory for it. Its owner may be
// nil, if the caller does not know it.
func (s *Chunks) Take(ctx context.Context, user string, c Chunk, owner *Owner) (Data, error) {
	p := s.locate(c, owner)
	held, err := s.reserve(ctx, user, &p, false)
	if err != nil {
		return Data{}, err
	}
	d, err := s.fetch(p, !held.Shared())
	d.pin = held
	if err != nil {
		d.Close()
	}
	return d, err
}

// AtHand returns a chunk that this node's memory has, or the page cache of its disk, if it
// can be held for a caller who takes it as slowly as he likes: nobody may be waiting for
// its memory. For a chunk of the memory tier that is not counted it takes no memory. It
// keeps nothing of what it is given.
func (s *Chunks) AtHand(user string, c Chunk, owner Owner) (Data, bool) {
	if c.length == 0 {
		return Data{Source: Memory}, true
	}
	var buf [1024]byte // of most names
	name := keys.AppendChunk(buf[:0], c.key, c.version, c.n)
	text := unsafe.String(unsafe.SliceData(name), len(name))
	var d Data
	var ok bool
	if owner.Self { // to choose a function would take memory
		d.Source = Memory
		d.View, ok = s.own.Get(text)
	} else {
		d.Source = Hot
		d.View, ok = s.hot.Get(text)
	}
	if !ok && owner.Self {
		return s.cachedAtHand(user, c, text)
	}
	if !ok || int64(len(d.View)) != c.length {
		return Data{}, false
	}
	if c.length <= budget.FreeLen {
		return d, true
	}
	c.key.Name = strings.Clone(c.key.Name)
	d.pin, ok = s.streams.HoldResident(c.key.Org+"/"+user, c.id(), c.length)
	if !ok || d.pin.Waited() {
		d.Close()
		return Data{}, false
	}
	return d, true
}

// FromOwner returns a chunk that another node owns and this one does not have, whole, if
// it is so small that it is not counted. It waits for the owner, or for what stands in for
// it, and is bounded.
func (s *Chunks) FromOwner(c Chunk, owner Owner) (Data, bool) {
	if owner.Self || c.length > budget.FreeLen {
		return Data{}, false
	}
	c.key.Name = strings.Clone(c.key.Name) // it may be a view of bytes that change
	d, err := s.fetch(s.locate(c, &owner), true)
	if d.relay != nil {
		d, err = d.relay.fetch(d.Source)
	}
	return d, err == nil
}

// reserve takes memory for a chunk that a user is about to have; ahead, only if the
// memory is there at once.
func (s *Chunks) reserve(ctx context.Context, user string, p *place, ahead bool) (*pin, error) {
	if p.IsHere() {
		if held, ok := s.streams.HoldResident(user, p.id(), p.length); ok {
			return held, nil
		}
	}
	if ahead {
		if held, ok := s.streams.HoldAhead(user, p.id(), p.length); ok {
			return held, nil
		}
		return nil, budget.ErrBusy
	}
	p.Data = Data{} // it may leave the tier while its holder waits for memory
	held, err := s.streams.Hold(ctx, user, p.id(), p.length)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", p.key, err)
	}
	return held, nil
}

// fetch returns a chunk from wherever it is to be had. If the store no longer has
// its version: store.ErrPrecondition. For a caller who is alone, a chunk that another node
// owns is relayed, unless somebody else here is likely to want it soon, and one that is on
// this node's disk is read from there.
func (s *Chunks) fetch(p place, alone bool) (Data, error) {
	switch {
	case p.IsHere():
		return p.Data, nil
	case p.owner.Self:
		return s.ownOf(p, alone)
	case alone && !s.hot.Known(p.name, p.length):
		d, err := s.askOwner(p, true)
		if err == nil {
			return d, nil
		}
		return s.copyOf(p, err)
	}
	return s.copyOf(p, nil)
}

// load has the tier of own chunks get one. To a caller who waits for another's load it
// comes from memory.
func (s *Chunks) load(p place) (Data, error) {
	d := Data{Source: Memory}
	b, err := s.own.Fill(p.name, p.slot(), func() (b []byte, err error) {
		if b, d.Source, err = s.obtain(p); err == nil {
			s.disk.Put(p.slot(), onDisk(p.name), b)
		}
		return b, err
	})
	if err == nil {
		err = p.isLong(b)
	}
	if err != nil {
		return Data{}, err
	}
	d.View = b
	return d, nil
}

// obtain returns a chunk that this node owns and memory does not have as such: from the
// hot copies if another node owned it until now, from what a member gave as it left, from
// the disk, from who owned it before, or from the store.
func (s *Chunks) obtain(p place) (b []byte, from Source, err error) {
	defer s.recovered(p.key, &err) // or nobody would ever be told
	if b, ok := s.hot.Take(p.name); ok {
		return b, Hot, nil
	}
	if b, ok := s.takeGift(p); ok {
		return b, Hot, nil
	}
	if b, ok := s.fromDisk(p); ok {
		return b, Disk, nil
	}
	if b, ok := s.fromNear(p); ok {
		return b, Peer, nil
	}
	b, err = s.read(p.Chunk)
	return b, S3, err
}

// copyOf returns a chunk that another node owns, for all who want it at once: from
// this node's copies, from the owner, or, if that does not have it to give, from
// what this node owned before. If the owner gives no answer, then from this node's disk,
// or from the store. If the owner was asked already and has not given all of it, refused
// says why.
func (s *Chunks) copyOf(p place, refused error) (Data, error) {
	if s.look(&p); p.IsHere() {
		return p.Data, nil
	}
	return s.copies.Do(p.name, func() (d Data, err error) {
		defer s.recovered(p.key, &err) // as in obtain
		if s.look(&p); p.IsHere() {    // another flight ended meanwhile
			return p.Data, nil
		}
		if err = refused; err == nil {
			d, err = s.askOwner(p, false)
		}
		if err != nil {
			d, err = s.instead(p, err)
		}
		if err == nil && refused == nil && s.hot.Wanted(p.name, p.length) {
			s.hot.Keep(p.name, d.View)
		}
		return d, err
	})
}

// instead returns a chunk that its owner did not give, for the reason why.
func (s *Chunks) instead(p place, why error) (Data, error) {
	if b, ok := s.own.Get(p.name); ok && p.isLong(b) == nil {
		return Data{View: b, Source: Memory}, nil
	}
	if errors.Is(why, ErrOwnerSays) {
		return Data{}, why
	}
	if b, ok := s.fromDisk(p); ok {
		return Data{View: b, Source: Disk}, nil
	}
	s.log.Debug().Err(why).Str("peer", p.owner.Name).Msg("owner gave no chunk, reading the store")
	b, err := s.read(p.Chunk)
	return Data{View: b, Source: S3}, err
}
