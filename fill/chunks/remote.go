package chunks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// The questions that a node answers to its peers.
const (
	chunkRoute = "fill/chunk/2" // whose text is a chunkText, and that of the answer a givenText
	keepRoute  = "fill/keep/2"  // the same, with the chunk itself, which was just written
	heldRoute  = "fill/held"    // a chunkText, to who owned the chunk before: it answers with what it has
	giveRoute  = "fill/give"    // a giftText, and the chunk, of a member that leaves
)

var (
	// ErrNotOwner refuses a peer's question that another node would have to
	// answer: it is not passed on.
	ErrNotOwner = errors.New("not the owner")
	// ErrNotHeld answers a member that asks for what this node does not hold.
	ErrNotHeld = errors.New("not held here")
	// ErrOwnerSays marks an error that the owner found out for certain, so
	// that asking the store once more would only say it later.
	ErrOwnerSays = errors.New("the owner says")
)

// maxDetail is how much of an error a peer is told, in bytes.
const maxDetail = 1 << 10

// Answer registers what this node answers to its peers.
func (s *Chunks) Answer(handle func(route string, h cluster.Handler)) {
	handle(chunkRoute, s.handleChunk)
	handle(keepRoute, s.handleKeep)
	handle(heldRoute, s.handleHeld)
	handle(giveRoute, s.handleGive)
}

// Given is a chunk that its owner gave beside another answer, if its bytes are right.
func (s *Chunks) Given(ctx context.Context, owner cluster.Member, c Chunk, b []byte) (Data, error) {
	if int64(len(b)) != c.length {
		return Data{}, wrongLength(owner, int64(len(b)), c)
	}
	return Data{View: b, Source: Peer}, s.digests.check(ctx, c, b, nil, Peer)
}

// Fetched notes that a chunk of another owner was given beside another answer, and keeps
// a copy of one that is worth it.
func (s *Chunks) Fetched(c Chunk, b []byte) {
	if name := c.name(); s.hot.Wanted(name, c.length) {
		s.hot.Keep(name, bytes.Clone(b)) // the answer has other bytes too
	}
}

func wrongLength(owner cluster.Member, n int64, c Chunk) error {
	return fmt.Errorf("%s gave %d bytes of a chunk of %d", owner.Name, n, c.length)
}

// askOwner asks a chunk's owner for it: for all of it, or, if it may arrive later,
// for a relay.
func (s *Chunks) askOwner(p place, arriving bool) (d Data, err error) {
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	defer s.recovered(p.key, &err)
	ctx := context.Background() // it is bounded
	said, err := s.Ask(ctx, p.owner.Member, cluster.Question{
		Route: chunkRoute, Text: s.textOf(p.Chunk), Room: p.length, Within: fetchLimit, Arriving: arriving,
	})
	if err != nil {
		return d, err
	}
	from, sum, summed := parseGiven(string(said.Text))
	if said.Rest == nil {
		d, err = s.Given(ctx, p.owner.Member, p.Chunk, said.Body)
	} else {
		d = Data{Source: Peer, relay: &relay{chunks: s, place: p, rest: said.Rest, left: said.Size, sum: sum, summed: summed}}
		if said.Size != p.length {
			err = wrongLength(p.owner.Member, said.Size, p.Chunk)
		}
	}
	if from == S3 || from == Disk {
		d.Source = from
	}
	return d, err
}

// givenText is the text beside a chunk that is given: its source, and its XXH3 if this node
// has it in memory as its owner.
func (s *Chunks) givenText(p place, from Source) []byte {
	text := []byte(from)
	if sum, ok := s.own.Sum(p.name); ok {
		text = fmt.Appendf(text, " %016x", sum)
	}
	return text
}

// parseGiven is the reverse of givenText.
func parseGiven(text string) (from Source, sum uint64, summed bool) {
	source, hex, _ := strings.Cut(text, " ")
	sum, err := strconv.ParseUint(hex, 16, 64)
	return Source(source), sum, err == nil
}

// holdAsked takes memory for the chunk that a peer's question is about, if this
// node owns it.
func (s *Chunks) holdAsked(ctx context.Context, text string) (p place, err error) {
	if p.Chunk, p.name, err = s.chunkNamed(text); err != nil {
		return p, err
	}
	if p.owner.Member, p.owner.Self = s.ring.Owner(keys.ChunkHash(p.key, p.n)); !p.owner.Self {
		return p, ErrNotOwner
	}
	p.pin, err = s.serving.Hold(ctx, p.key.Org, p.id(), p.length)
	return p, err
}

// Own returns a chunk that this node owns.
func (s *Chunks) Own(c Chunk) (Data, error) {
	return s.fetch(s.locate(c, &Owner{Self: true}), false)
}

// handleChunk answers a peer that asks for a chunk which this node owns.
func (s *Chunks) handleChunk(ctx context.Context, asked cluster.Asked) cluster.Answer {
	p, err := s.holdAsked(ctx, asked.Text)
	if err != nil {
		return Refusal(err)
	}
	held := p.pin
	s.look(&p)
	d, err := s.fetch(p, false)
	if err == nil {
		err = p.isLong(d.View)
	}
	if err != nil {
		held.Release()
		return Refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: s.givenText(p, d.Source), Body: d.View, Sent: held.Release}
}

// sendChunk gives a chunk that was just written to its owner.
func (s *Chunks) sendChunk(ctx context.Context, owner cluster.Member, c Chunk, b []byte) error {
	q := cluster.Question{Route: keepRoute, Text: s.textOf(c), Body: b, Within: fetchLimit}
	if _, err := s.Ask(ctx, owner, q); err != nil {
		return fmt.Errorf("send a chunk to %s: %w", owner.Name, err)
	}
	return nil
}

// handleKeep keeps a chunk that a peer has just written, if its bytes are those
// that the store holds.
func (s *Chunks) handleKeep(ctx context.Context, asked cluster.Asked) cluster.Answer {
	p, err := s.holdAsked(ctx, asked.Text)
	if err != nil {
		return Refusal(err)
	}
	defer p.pin.Release()
	if asked.Size != p.length {
		return Refusal(fmt.Errorf("%w: %d bytes of a chunk of %d", keys.ErrBadKey, asked.Size, p.length))
	}
	b, err := asked.ReadBody(p.length)
	if err != nil {
		return Refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	if err := s.prove(ctx, p.Chunk, b); err != nil {
		return Refusal(err)
	}
	s.keep(p.Chunk, p.name, b)
	return cluster.Answer{Status: http.StatusOK}
}

// prove reports by its error whether the bytes that a peer says were just written
// are those that the store holds. What cannot be proven is not kept.
func (s *Chunks) prove(ctx context.Context, c Chunk, b []byte) error {
	if c.size <= s.size {
		h, err := s.headOf(ctx, c.key)
		if err != nil {
			return err
		}
		if !h.Is(c.version.ETag, c.version.Write) || h.Size != c.size {
			return fmt.Errorf("%w: another version is there", store.ErrPrecondition)
		}
		c.digest = h.Digest
	}
	c.listed = true // if it is not, none is found
	want, known := s.digests.of(ctx, c)
	if !known {
		return fmt.Errorf("%w: there is no digest to compare it with", store.ErrPrecondition)
	}
	got := sha256.Sum256(b)
	return s.digests.compare(c, want[:], got[:], Writer)
}

// headOf is the head of k as this node trusts it, or as the store says.
func (s *Chunks) headOf(ctx context.Context, k keys.Key) (store.Head, error) {
	if is, ok := s.heads.Owned(k); ok && !is.Absent {
		return is.Head, nil
	}
	return s.store.Head(ctx, k.Place())
}

// Ask asks a peer. If the peer refuses, the error is the one that it had.
func (s *Chunks) Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error) {
	said, err := s.ring.Ask(ctx, m, q)
	if err == nil && said.Status != http.StatusOK {
		if said.Rest != nil {
			_ = said.Rest.Close() // nobody wants it
		}
		err = peerError(m, said)
	}
	return said, err
}

// peerError turns a peer's refusal into the error that it had.
func peerError(m cluster.Member, said cluster.Answer) error {
	detail := said.Text[:min(len(said.Text), maxDetail)]
	switch said.Status {
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w (%s): %s: %w", ErrOwnerSays, m.Name, detail, store.ErrPrecondition)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w (%s): %s: %w", ErrOwnerSays, m.Name, detail, store.ErrUnavailable)
	case http.StatusBadGateway:
		return fmt.Errorf("%w (%s): %s: %w", ErrOwnerSays, m.Name, detail, store.ErrUnexpected)
	}
	return fmt.Errorf("%s: %w", m.Name, &cluster.Refused{Status: said.Status, Detail: string(detail)})
}

// Refusal answers a peer with an error that peerError understands.
func Refusal(err error) cluster.Answer {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNotOwner):
		status = http.StatusMisdirectedRequest
	case errors.Is(err, ErrNotHeld):
		status = http.StatusNotFound
	case errors.Is(err, keys.ErrBadKey):
		status = http.StatusBadRequest
	case errors.Is(err, store.ErrPrecondition):
		status = http.StatusPreconditionFailed
	case errors.Is(err, store.ErrUnavailable):
		status = http.StatusServiceUnavailable
	case errors.Is(err, store.ErrUnexpected):
		status = http.StatusBadGateway
	}
	detail := err.Error()
	return cluster.Answer{Status: status, Text: []byte(detail[:min(len(detail), maxDetail)])}
}
