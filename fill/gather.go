package fill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
)

const (
	// manyRoute is the question for heads of many keys, and small first chunks. Its text
	// is a manyQuestion, and that of the answer a list of headAnswer as JSON, null for what
	// the owner cannot tell yet. The body has the first chunks that the heads announce, one
	// after the other.
	manyRoute = "fill/many"
	// MaxGather is the most keys that Gather takes at once.
	MaxGather = 32
	// GatherBytes are the most bytes, for each key, of the first chunks in an answer.
	GatherBytes = 32 << 10
	// gatherWait is how long an owner waits for the store until it answers without.
	gatherWait = time.Second
)

// manyQuestion asks for what an owner knows of many keys, as JSON.
type manyQuestion struct {
	Places []string
	Chunk  int64 // the asker's chunk size, which must be the owner's
}

// Found is what was found out about a key for one read of it.
type Found struct {
	Here bool    // its bytes are in memory
	told *answer // what the owner said; nil if it was not asked, or gave no answer
}

// Gather prepares the reads of up to MaxGather keys: each other node that owns some is
// asked once for the heads and the small first chunks of all that this node does not have
// in memory. What an owner does not tell is left to Open. Gather holds
// no more than GatherBytes for each key, and the heads.
//
// For each key the rules are those of a lookup at its owner: a lease counts from before
// the question, and is not kept if the key was dropped since (rule 4).
func (f *Filler) Gather(ctx context.Context, ks []keys.Key) []Found {
	found := make([]Found, len(ks))
	owners := map[cluster.Member][]int{}
	for i, k := range ks {
		if f.isInMemory(k) {
			found[i].Here = true
			continue
		}
		if o := f.ownerOf(k); !o.Self && !f.heads.Unsettled(o.ID) {
			owners[o.Member] = append(owners[o.Member], i)
		}
	}
	var asking sync.WaitGroup
	for owner, at := range owners {
		asking.Go(func() {
			if err := f.askMany(ctx, owner, ks, at, found); err != nil {
				f.log.Debug().Err(err).Str("peer", owner.Name).Int("keys", len(at)).Msg("owner gave no heads of many keys, asking for each")
			}
		})
	}
	asking.Wait()
	return found
}

// askMany asks an owner for those of keys that are its own, and notes what it says.
func (f *Filler) askMany(ctx context.Context, owner cluster.Member, ks []keys.Key, at []int, found []Found) error {
	q := manyQuestion{Places: make([]string, len(at)), Chunk: f.size}
	began := make([]heads.Moment, len(at))
	for n, i := range at {
		q.Places[n], began[n] = ks[i].Place(), f.heads.Now(ks[i])
	}
	asked := time.Now()
	text, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("ask for heads: %w", err)
	}
	a, err := f.chunks.Ask(ctx, owner, cluster.Question{Route: manyRoute, Text: string(text), Room: int64(len(at)) * GatherBytes})
	if err != nil {
		return err
	}
	var said []*headAnswer
	if err := json.Unmarshal(a.Text, &said); err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	if len(said) != len(at) {
		return fmt.Errorf("%d heads of %d keys", len(said), len(at))
	}
	rest := a.Body
	for n, h := range said {
		if h == nil {
			continue
		}
		var first []byte
		if h.First {
			length := min(max(h.Head.Size, 0), f.size, int64(len(rest)))
			first, rest = rest[:length], rest[length:]
		}
		k := ks[at[n]]
		told, err := f.heard(ctx, owner, k, *h, first, asked)
		if err != nil {
			continue // Open asks for it once more, and says why it cannot be had
		}
		told.kept = f.keepLeased(k, began[n], told, h.Lease)
		if h.First {
			f.chunks.Fetched(f.chunks.Of(k, h.Head, 0), first)
		}
		found[at[n]] = Found{Here: h.First, told: &told}
	}
	return nil
}

// handleMany answers a peer that asks for heads of many keys, and small first chunks.
func (f *Filler) handleMany(ctx context.Context, asked cluster.Asked) cluster.Answer {
	var q manyQuestion
	if err := json.Unmarshal([]byte(asked.Text), &q); err != nil {
		return chunks.Refusal(fmt.Errorf("%w: %w", keys.ErrBadKey, err))
	}
	if len(q.Places) > MaxGather {
		return chunks.Refusal(fmt.Errorf("%w: %d at once, at most %d are told of", keys.ErrBadKey, len(q.Places), MaxGather))
	}
	if q.Chunk != f.size {
		return chunks.Refusal(chunks.ErrNotOwner)
	}
	ctx, cancel := context.WithTimeout(ctx, gatherWait)
	defer cancel()
	said := make([]*headAnswer, len(q.Places))
	firsts := make([][]byte, len(q.Places))
	var g errgroup.Group
	g.SetLimit(headsAtOnce)
	for i, place := range q.Places {
		g.Go(func() (err error) {
			said[i], firsts[i], err = f.tell(ctx, asked.From, place)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return chunks.Refusal(err)
	}
	var body []byte
	for i, first := range firsts {
		if len(body)+len(first) > len(firsts)*GatherBytes {
			first = nil
		}
		if said[i] != nil {
			said[i].First = first != nil
		}
		body = append(body, first...)
	}
	text, err := json.Marshal(said)
	if err != nil {
		return chunks.Refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Text: text, Body: body}
}

// tell is what this node knows of a key that it owns, and the first chunk if that is
// small and at hand. It is nil if this node does not own the key, or if the store does
// not answer soon: then the peer asks for that key by itself.
func (f *Filler) tell(ctx context.Context, from, place string) (*headAnswer, []byte, error) {
	k, err := keys.FromPlace(place)
	if err != nil {
		return nil, nil, err
	}
	owner := f.ownerOf(k)
	if !owner.Self {
		return nil, nil, nil
	}
	a, err := f.resolve(ctx, k, withBytes, k.Org, owner)
	if err != nil {
		return nil, nil, nil // the peer hears of it when it asks for this key
	}
	defer a.first.Close()
	h := f.grantTo(from, k, a)
	if !f.isSmall(h) {
		return &h, nil, nil
	}
	if first := given(a, h); first != nil {
		return &h, first, nil
	}
	first, ok := f.chunks.AtHand(k.Org, f.chunks.Of(k, h.Head, 0), owner)
	if !ok {
		return &h, nil, nil
	}
	return &h, first.View, nil
}
