package fill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/golang/groupcache"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// maxDetail is how much of an error a peer is told, in bytes.
const maxDetail = 1 << 10

// The questions that a node answers to its peers.
const (
	headRoute  = "fill/head"    // whose text is a headQuestion
	chunkRoute = "fill/chunk/2" // whose text is a chunkQuestion, and that of the answer a Source
	keepRoute  = "fill/keep/2"  // the same, with the chunk itself, which was just written
)

var (
	// errOwnerSays marks an error that the owner found out for certain, so
	// that asking the store once more would only say it later.
	errOwnerSays = errors.New("the owner says")
	// errNotOwner refuses a peer's question that another node would have to
	// answer: it is not passed on.
	errNotOwner = errors.New("not the owner")
)

// headQuestion asks for what an owner knows of a key, as JSON.
type headQuestion struct {
	Place string
	Bytes bool  // the first chunk too, if it is small
	Chunk int64 // the asker's chunk size, which must be the owner's
}

// headAnswer is what an owner says of a key, as JSON. If it says so, the first
// chunk follows: one that is too small to be counted, so that reading a small
// object through any node takes one question.
type headAnswer struct {
	heads.Known
	Source Source
	Lease  time.Duration // from the moment the question was asked; 0: for this request only
	First  bool
}

// chunkQuestion names a chunk: the object's size, the asker's chunk size and
// the chunk's key, with a space between.
type chunkQuestion struct {
	size, chunk int64
	key         string
}

func (q chunkQuestion) String() string {
	b := strconv.AppendInt(make([]byte, 0, 48+len(q.key)), q.size, 10)
	b = strconv.AppendInt(append(b, ' '), q.chunk, 10)
	return string(append(append(b, ' '), q.key...))
}

func parseChunkQuestion(text string) (q chunkQuestion, err error) {
	size, rest, _ := strings.Cut(text, " ")
	chunk, key, _ := strings.Cut(rest, " ")
	q.key = key
	if q.size, err = strconv.ParseInt(size, 10, 64); err == nil {
		q.chunk, err = strconv.ParseInt(chunk, 10, 64)
	}
	if err != nil {
		return q, fmt.Errorf("%w: not a chunk of an object: %w", keys.ErrBadKey, err)
	}
	return q, nil
}

// Answer registers what this node answers to its peers.
func (f *Filler) Answer(answer func(route string, a cluster.Handler)) {
	answer(headRoute, f.answerHead)
	answer(chunkRoute, f.answerChunk)
	answer(keepRoute, f.keepChunk)
}

// askHead asks the owner for a head and a lease on it. An error that wraps
// errOwnerSays is the owner's verdict; any other means that it gave no answer.
func (f *Filler) askHead(ctx context.Context, owner cluster.Member, k keys.Key, w want) (answer, time.Duration, error) {
	text, err := json.Marshal(headQuestion{Place: k.Place(), Bytes: bool(w), Chunk: f.cfg.ChunkSize})
	if err != nil {
		return answer{}, 0, fmt.Errorf("ask for a head: %w", err)
	}
	said, err := f.ask(ctx, owner, cluster.Question{Route: headRoute, Text: string(text), Room: freeLen})
	if err != nil {
		return answer{}, 0, err
	}
	var h headAnswer
	if err := json.Unmarshal(said.Text, &h); err != nil {
		return answer{}, 0, fmt.Errorf("read a head of %s: %w", owner.Name, err)
	}
	if h.Head.Size < 0 {
		return answer{}, 0, fmt.Errorf("%s says that %s has %d bytes", owner.Name, k, h.Head.Size)
	}
	a := answer{Known: h.Known, Source: h.Source}
	if h.First {
		if want := f.chunkLen(h.Head.Size, 0); int64(len(said.Body)) != want {
			return answer{}, 0, fmt.Errorf("%s gave %d bytes of a chunk of %d", owner.Name, len(said.Body), want)
		}
		if err := f.check(ctx, f.chunkOf(k, h.Head, 0), said.Body, Peer); err != nil {
			return answer{}, 0, err
		}
		a.first, a.hasFirst = viewOf(said.Body), true
	}
	return a, h.Lease, nil
}

// ask asks a peer. An answer that is a refusal is an error.
func (f *Filler) ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error) {
	said, err := f.ring.Ask(ctx, m, q)
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
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrPrecondition)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrUnavailable)
	case http.StatusBadGateway:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrUnexpected)
	}
	return fmt.Errorf("%s: %w", m.Name, &cluster.Refused{Status: said.Status, Detail: string(detail)})
}

// refusal answers a peer with an error that peerError understands.
func refusal(err error) cluster.Answer {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNotOwner):
		status = http.StatusMisdirectedRequest
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

// answerHead answers a peer that asks for a head. A node that is not the owner
// in its own view says so and asks nobody.
func (f *Filler) answerHead(ctx context.Context, asked cluster.Asked) cluster.Answer {
	var q headQuestion
	if err := json.Unmarshal([]byte(asked.Text), &q); err != nil {
		return refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	k, err := keys.FromPlace(q.Place)
	if err != nil {
		return refusal(err)
	}
	owner, self := f.ring.Owner(k.Hash())
	if !self || q.Chunk != f.cfg.ChunkSize {
		return refusal(errNotOwner)
	}
	a, err := f.resolveAs(ctx, k, want(q.Bytes), owner, self)
	if err != nil {
		return refusal(err)
	}
	h, first := f.forPeer(asked.From, k, a, q.Bytes)
	a.pin.release() // a chunk that is counted is asked for by itself
	text, err := json.Marshal(h)
	if err != nil {
		return refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: text, Body: bytesOf(first)}
}

// forPeer makes of what this node knows an answer for the peer that asked, with
// a lease and a small first chunk if it can give them.
func (f *Filler) forPeer(from string, k keys.Key, a answer, bytes bool) (headAnswer, groupcache.ByteView) {
	h := headAnswer{Known: a.Known, Source: a.Source}
	if granted, lease := f.heads.Grant(k, from); lease > 0 {
		h.Known, h.Lease = granted, lease
	}
	length := f.chunkLen(h.Head.Size, 0)
	if !bytes || h.Absent || length <= 0 || length > freeLen {
		return h, groupcache.ByteView{}
	}
	if a.hasFirst && versionOf(a.Head) == versionOf(h.Head) {
		h.First = true
		return h, a.first
	}
	first, source, err := f.ownChunk(f.chunkOf(k, h.Head, 0))
	if err != nil { // the peer asks for it by itself, and hears why
		return h, groupcache.ByteView{}
	}
	if source == S3 {
		h.Source = S3
	}
	h.First = true
	return h, first
}

// holdAsked takes memory for the chunk that a peer's question is about, if this
// node owns it.
func (f *Filler) holdAsked(ctx context.Context, text string) (chunk, *pin, error) {
	c, err := f.askedFor(text)
	if err != nil {
		return c, nil, err
	}
	held, err := f.budgets.serving.hold(ctx, c.key, c.n, c.length)
	return c, held, err
}

func (f *Filler) askedFor(text string) (c chunk, err error) {
	q, err := parseChunkQuestion(text)
	if err != nil {
		return c, err
	}
	if c.key, c.version, c.n, err = keys.ParseChunk(q.key); err != nil {
		return c, err
	}
	if c.size, c.length = q.size, f.chunkLen(q.size, c.n); c.length <= 0 || int64(c.n) > q.size/f.cfg.ChunkSize {
		return c, fmt.Errorf("%w: not a chunk of an object", keys.ErrBadKey)
	}
	_, self := f.ring.Owner(keys.ChunkHash(c.key, c.n))
	if !self || q.chunk != f.cfg.ChunkSize {
		return c, errNotOwner
	}
	return c, nil
}

// answerChunk answers a peer that asks for a chunk which this node owns.
func (f *Filler) answerChunk(ctx context.Context, asked cluster.Asked) cluster.Answer {
	c, held, err := f.holdAsked(ctx, asked.Text)
	if err != nil {
		return refusal(err)
	}
	v, source, err := f.ownChunk(c)
	if err != nil {
		held.release()
		return refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: []byte(source), Body: bytesOf(v), Sent: held.release}
}

// askChunk asks a chunk's owner for it.
func (f *Filler) askChunk(c chunk, owner cluster.Member) ([]byte, Source, error) {
	said, err := f.ask(context.Background(), owner, f.chunkQuestion(c))
	if err != nil {
		return nil, "", err
	}
	if n := int64(len(said.Body)); n != c.length {
		return nil, "", wrongLength(owner, n, c)
	}
	if err := f.check(context.Background(), c, said.Body, Peer); err != nil {
		return nil, "", err
	}
	return said.Body, sourceOf(said), nil
}

func (f *Filler) chunkQuestion(c chunk) cluster.Question {
	return cluster.Question{Route: chunkRoute, Text: f.textOf(c), Room: c.length, Within: fetchLimit}
}

func (f *Filler) textOf(c chunk) string {
	return chunkQuestion{size: c.size, chunk: f.cfg.ChunkSize, key: c.id()}.String()
}

func wrongLength(owner cluster.Member, n int64, c chunk) error {
	return fmt.Errorf("%s gave %d bytes of a chunk of %d", owner.Name, n, c.length)
}

// sourceOf is where a chunk came from that its owner gave.
func sourceOf(said cluster.Answer) Source {
	if string(said.Text) == string(S3) {
		return S3
	}
	return Peer
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
	c, held, err := f.holdAsked(ctx, asked.Text)
	if err != nil {
		return refusal(err)
	}
	defer held.release()
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
	f.prime(c, viewOf(b))
	return cluster.Answer{Status: http.StatusOK}
}
