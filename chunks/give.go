package chunks

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/cluster"
	"larder/keys"
	"larder/tier"
)

const (
	// giveLimit bounds how long a node that leaves gives chunks to who owns them next.
	giveLimit = 5 * time.Second
	// givesAtOnce is how many are under way at once.
	givesAtOnce = 4
	// mostVain is how many may be refused: then memory is full wherever they go.
	mostVain = 64
)

// HandOn gives the chunks that this node owns to the members that will own them when it
// has left, those used last first, until it has given all, they take no more, or the time
// is over. It is called while this node is still the owner.
func (s *Chunks) HandOn(ctx context.Context) error {
	if len(s.ring.Next(0, 1)) == 0 {
		return nil // nobody is left
	}
	ctx, cancel := context.WithTimeout(ctx, giveLimit)
	defer cancel()
	var given, bytes, vain atomic.Int64
	var g errgroup.Group
	g.SetLimit(givesAtOnce)
	for _, name := range s.own.Newest() {
		if ctx.Err() != nil || vain.Load() >= mostVain {
			break
		}
		g.Go(func() error {
			switch n, err := s.give(ctx, name); {
			case err != nil:
				vain.Add(1)
			case n > 0:
				given.Add(1)
				bytes.Add(n)
			}
			return nil
		})
	}
	_ = g.Wait()
	s.log.Info().Int64("chunks", given.Load()).Int64("bytes", bytes.Load()).Int64("refused", vain.Load()).Msg("handed chunks on to who owns them next")
	return nil
}

// give gives a chunk to its next owner, if this node owns it and still has it, and returns
// how many bytes it has.
func (s *Chunks) give(ctx context.Context, name string) (int64, error) {
	k, _, n, err := keys.ParseChunk(name)
	if err != nil {
		return 0, nil // it is not a chunk that anybody asks for
	}
	hash := keys.ChunkHash(k, n)
	if _, self := s.ring.Owner(hash); !self {
		return 0, nil
	}
	next := s.ring.Next(hash, 1)
	b, ok := s.own.Get(name)
	if !ok || len(next) == 0 {
		return 0, nil
	}
	held, err := s.serving.Hold(ctx, k.Org, id{k, n}, int64(len(b)))
	if err != nil {
		return 0, fmt.Errorf("give a chunk to %s: %w", next[0].Name, err)
	}
	defer held.Release()
	body := append(append(make([]byte, 0, len(name)+len(b)), name...), b...)
	_, err = s.Ask(ctx, next[0], cluster.Question{Route: giveRoute, Text: name, Body: body, Within: giveLimit})
	if err != nil {
		return 0, fmt.Errorf("give a chunk to %s: %w", next[0].Name, err)
	}
	return int64(len(b)), nil
}

// takeGiven takes a chunk from a member that leaves, if memory has room for it beside
// what else only this node has. It is compared with its digest when it is asked for:
// only its head tells that, which a reader brings.
func (s *Chunks) takeGiven(ctx context.Context, asked cluster.Asked) cluster.Answer {
	k, _, n, err := keys.ParseChunk(asked.Text)
	if err != nil {
		return Refusal(err)
	}
	length := asked.Size - int64(len(asked.Text))
	if length <= 0 || length > s.size {
		return Refusal(fmt.Errorf("%w: %d bytes of a chunk of at most %d", keys.ErrBadKey, length, s.size))
	}
	if s.own.Has(asked.Text) {
		return cluster.Answer{Status: http.StatusOK}
	}
	held, err := s.serving.Hold(ctx, k.Org, id{k, n}, length)
	if err != nil {
		return Refusal(err)
	}
	defer held.Release()
	b, err := asked.ReadBody(asked.Size)
	if err != nil {
		return Refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	if string(b[:len(asked.Text)]) != asked.Text || !s.hot.Give(givenName(keys.ChunkHash(k, n)), b) {
		return Refusal(ErrNotHeld)
	}
	return cluster.Answer{Status: http.StatusOK}
}

// givenName names what was given for a slot among the hot copies. No chunk's name begins
// so.
func givenName(slot uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(tier.Given), slot))
}

func (s *Chunks) hasGiven(slot uint64) bool {
	_, ok := s.hot.Get(givenName(slot))
	return ok
}

// given returns a chunk that a member gave as it left, if its bytes are right. It is given
// up by that: the caller keeps it.
func (s *Chunks) given(p place) ([]byte, bool) {
	b, ok := s.givenAs(p, s.hot.Take)
	return b, ok && s.digests.check(context.Background(), p.Chunk, b, nil, Peer) == nil
}

// givenAs is the chunk among what was given, as get has it.
func (s *Chunks) givenAs(p place, get func(string) ([]byte, bool)) ([]byte, bool) {
	b, ok := get(givenName(p.slot()))
	if !ok || len(b) < len(p.name) || string(b[:len(p.name)]) != p.name {
		return nil, false
	}
	b = b[len(p.name):]
	return b, p.isLong(b) == nil
}
