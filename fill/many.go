package fill

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

const (
	// headsRoute is the question for many heads: the body has places, a line each, and
	// that of the answer a head of each as JSON, or null.
	headsRoute = "fill/heads"
	// MaxHeads is the most heads that are asked for at once.
	MaxHeads = 1000
	// maxPlaces and maxHeadsText bound a question and its answer, in bytes: a thousand fit.
	maxPlaces    = 2 << 20
	maxHeadsText = 8 << 20
	// headsAtOnce heads that an owner does not know are asked for at once.
	headsAtOnce = 16
)

// Heads returns the heads of up to MaxHeads keys, as their owners know them: nil of what
// is not there, and of what cannot be told. Each owner is asked once for all of its
// keys, and asks the store for those that it does not know.
func (f *Filler) Heads(ctx context.Context, ks []keys.Key) []*store.Head {
	found := make([]*store.Head, len(ks))
	owners := map[chunks.Owner][]int{}
	for i, k := range ks {
		o := f.ownerOf(k)
		owners[o] = append(owners[o], i)
	}
	var asking sync.WaitGroup
	for o, at := range owners {
		asking.Go(func() {
			own := make([]keys.Key, len(at))
			for n, i := range at {
				own[n] = ks[i]
			}
			var said []*store.Head
			if o.Self {
				said = f.headsHere(ctx, own)
			} else {
				said = f.askHeads(ctx, o.Member, own)
			}
			for n, h := range said {
				found[at[n]] = h
			}
		})
	}
	asking.Wait()
	return found
}

// headsHere are those of keys that this node owns.
func (f *Filler) headsHere(ctx context.Context, ks []keys.Key) []*store.Head {
	found := make([]*store.Head, len(ks))
	var g errgroup.Group
	g.SetLimit(headsAtOnce)
	for i, k := range ks {
		owner := f.ownerOf(k)
		if !owner.Self {
			continue
		}
		if is, ok := f.heads.Owned(k); ok {
			if !is.Absent {
				found[i] = &is.Head
			}
			continue
		}
		g.Go(func() error {
			a, err := f.resolve(ctx, k, headOnly, k.Org, owner)
			a.first.Close()
			if err == nil && !a.Absent {
				found[i] = &a.Head
			}
			return nil
		})
	}
	_ = g.Wait() // what cannot be told is not
	return found
}

// askHeads asks a member for those of keys that it owns; nil if it does not answer.
func (f *Filler) askHeads(ctx context.Context, owner cluster.Member, ks []keys.Key) (found []*store.Head) {
	places := make([]string, len(ks))
	for i, k := range ks {
		places[i] = k.Place()
	}
	q := cluster.Question{Route: headsRoute, Body: []byte(strings.Join(places, "\n")), Room: maxHeadsText}
	said, err := f.chunks.Ask(ctx, owner, q)
	if err == nil {
		err = json.Unmarshal(said.Body, &found)
	}
	if err != nil || len(found) != len(ks) {
		f.log.Debug().Err(err).Str("peer", owner.Name).Int("heads", len(found)).Msg("heads of a listing not told")
		return nil
	}
	return found
}

// handleHeads answers a peer that asks for many heads.
func (f *Filler) handleHeads(ctx context.Context, asked cluster.Asked) cluster.Answer {
	body, err := asked.ReadBody(maxPlaces)
	if err != nil {
		return chunks.Refusal(err)
	}
	var ks []keys.Key
	for place := range strings.SplitSeq(string(body), "\n") {
		k, err := keys.FromPlace(place)
		if err != nil {
			return chunks.Refusal(err)
		}
		if ks = append(ks, k); len(ks) > MaxHeads {
			return cluster.Answer{Status: http.StatusBadRequest, Text: []byte("too many keys")}
		}
	}
	text, err := json.Marshal(f.headsHere(ctx, ks))
	if err != nil {
		return chunks.Refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Body: text}
}
