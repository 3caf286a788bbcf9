package builds

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"larder/cluster"
)

const (
	listRoute = "builds/list"
	listLimit = 3 * time.Second
	// maxListed is how many builds a listing has at most.
	maxListed = 10_000
	// maxList bounds what a node says of its builds, in bytes.
	maxList = 16 << 20
)

// Listed is one build of a listing.
type Listed struct {
	Key string
	Build
	Waiting int
}

// scope is what is listed: an org's keys of one service that begin so.
type scope struct{ Org, Service, Prefix string }

// List returns what an org builds now, at all owners, sorted by key. A member that
// does not answer is left out.
func (b *Builds) List(ctx context.Context, org, service, prefix string) []Listed {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	in := scope{org, service, prefix}
	body, err := json.Marshal(in)
	if err != nil {
		return nil
	}
	var mu sync.Mutex // guards all
	all := b.listOwn(in)
	var wg sync.WaitGroup
	for _, m := range b.cluster.Members() {
		if m.ID == b.cluster.Self().ID {
			continue
		}
		wg.Go(func() {
			a, err := b.cluster.Ask(ctx, m, cluster.Question{Route: listRoute, Body: body, Room: maxList})
			var theirs []Listed
			if err != nil || a.Status != http.StatusOK || json.Unmarshal(a.Body, &theirs) != nil {
				b.log.Debug().Err(err).Str("peer", m.Name).Msg("a member did not say what is built")
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, theirs...)
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(x, y Listed) int { return cmp.Compare(x.Key, y.Key) })
	return all[:min(len(all), maxListed)]
}

// listOwn lists what is built of keys that this node owns.
func (b *Builds) listOwn(in scope) (all []Listed) {
	b.owner.with(func(t *table, now time.Time) {
		for k, st := range t.keys {
			if st.claim == nil || k.Org != in.Org || k.Service != in.Service || !strings.HasPrefix(k.Name, in.Prefix) {
				continue
			}
			if len(all) == maxListed {
				return
			}
			all = append(all, Listed{Key: k.Name, Build: *st.build(now), Waiting: len(st.waiters())})
		}
	})
	return all
}

func (b *Builds) handleList(_ context.Context, asked cluster.Asked) cluster.Answer {
	var in scope
	if err := said(asked, &in); err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	return answered(b.listOwn(in))
}
