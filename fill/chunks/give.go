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
	"larder/fill/tier"
	"larder/keys"
)

const (
	// giveLimit bounds how long a node that leaves gives chunks to who owns them next.
	giveLimit = 5 * time.Second
	// givesAtOnce is how many are under way at once.
	givesAtOnce = 4
	// mostVain is how many may be refused: then memory is full wherever they go.
	mostVain = 64
	// mostGiven is how many are given at most: more than there is time for.
	mostGiven = 1 << 17
)

// HandOn gives the chunks that this node owns to the members that will own them when it
// has left, those that are worth most first, until it has given all, they take no more, or
// the time is over. It is called while this node is still the owner.
func (s *Chunks) HandOn(ctx context.Context) error {
	if len(s.ring.Next(0, 1)) == 0 {
		return nil // nobody is left
	}
	ctx, cancel := context.WithTimeout(ctx, giveLimit)
	defer cancel()
	var given, bytes, vain atomic.Int64
	var g errgroup.Group
	g.SetLimit(givesAtOnce)
	for _, kept := range s.own.Best(mostGiven) {
		if ctx.Err() != nil || vain.Load() >= mostVain {
			break
		}
		g.Go(func() error {
			switch n, err := s.give(ctx, kept); {
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
func (s *Chunks) give(ctx context.Context, kept tier.Kept) (int64, error) {
	if _, self := s.ring.Owner(kept.Slot); !self {
		return 0, nil
	}
	next := s.ring.Next(kept.Slot, 1)
	b, ok := s.own.At(kept.ID)
	if !ok || len(next) == 0 {
		return 0, nil
	}
	text := giftText(kept)
	held, err := s.serving.Hold(ctx, "", giftID(text), int64(len(b)))
	if err != nil {
		return 0, fmt.Errorf("give a chunk to %s: %w", next[0].Name, err)
	}
	defer held.Release()
	if _, err := s.Ask(ctx, next[0], cluster.Question{Route: giveRoute, Text: text, Body: b, Within: giveLimit}); err != nil {
		return 0, fmt.Errorf("give a chunk to %s: %w", next[0].Name, err)
	}
	return int64(len(b)), nil
}

// giftText names a chunk that is given: its slot, and its ID.
func giftText(kept tier.Kept) string {
	return string(append(binary.BigEndian.AppendUint64(nil, kept.Slot), kept.ID[:]...))
}

// parseGift is the reverse of giftText.
func parseGift(text string) (kept tier.Kept, err error) {
	if len(text) != 8+len(kept.ID) {
		return kept, fmt.Errorf("%w: a chunk is given by %d bytes", keys.ErrBadKey, len(text))
	}
	kept.Slot = binary.BigEndian.Uint64([]byte(text))
	copy(kept.ID[:], text[8:])
	return kept, nil
}

// giftID is the ID by which a chunk that is given is held.
func giftID(text string) id { return id{keys.Key{Service: "given", Name: text}, 0} }

// handleGive takes a chunk from a member that leaves, if memory has room for it beside
// what else only this node has. It is compared with its digest when it is asked for:
// only its head tells that, which a reader brings.
func (s *Chunks) handleGive(ctx context.Context, asked cluster.Asked) cluster.Answer {
	kept, err := parseGift(asked.Text)
	if err != nil {
		return Refusal(err)
	}
	if asked.Size <= 0 || asked.Size > s.size {
		return Refusal(fmt.Errorf("%w: %d bytes of a chunk of at most %d", keys.ErrBadKey, asked.Size, s.size))
	}
	if s.own.Has(kept.ID) {
		return cluster.Answer{Status: http.StatusOK}
	}
	held, err := s.serving.Hold(ctx, "", giftID(asked.Text), asked.Size)
	if err != nil {
		return Refusal(err)
	}
	defer held.Release()
	b, err := asked.ReadBody(asked.Size)
	if err != nil {
		return Refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	if !s.given.Keep(kept.Slot, kept.ID, b) {
		return Refusal(ErrNotHeld)
	}
	return cluster.Answer{Status: http.StatusOK}
}

// takeGift returns a chunk that a member gave as it left, if its bytes are right. It is
// given up by that: the caller keeps it.
func (s *Chunks) takeGift(p place) ([]byte, bool) {
	b, ok := s.given.Take(p.slot(), p.name)
	if !ok || p.isLong(b) != nil {
		return nil, false
	}
	ctx := context.Background() // what the store is asked is bounded
	return b, s.digests.check(ctx, s.withHead(ctx, p.Chunk), b, nil, Peer) == nil
}
