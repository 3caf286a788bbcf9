package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"larder/cluster"
	"larder/keys"
)

const (
	tellRoute  = "usage/tell"
	flushRoute = "usage/flush"
	// tellLimit bounds the wait for a member.
	tellLimit = time.Second
	// maxTold is about how much is told at once, in bytes: a question takes 1 MiB.
	maxTold = 256 << 10
	// toldLines is about how many lines of what an org has a node tells in a second: where
	// writers and members are many it tells the org more seldom than each second. A line
	// has some 75 bytes.
	toldLines = 5000
)

// told is what a node tells another, as JSON.
type told struct {
	Orgs map[string]state `json:"orgs,omitempty"`
	// Rates says that Wants are all that users want here; without it they are not told.
	Rates bool                                  `json:"rates,omitempty"`
	Wants map[string]map[string][resources]want `json:"wants,omitempty"`
	// Reply is the org whose state the other shall tell.
	Reply string `json:"reply,omitempty"`
}

// state is what a start says of one org. Of two the one with more changes is later.
type state struct {
	Changes uint64         `json:"changes"`
	Sums    []line         `json:"sums"`
	Gross   map[string]Sum `json:"gross"`
	Pending Sum            `json:"pending"`
	Writes  int64          `json:"writes"`
	// Walked is when the base that the start knows was compared with the bucket.
	Walked time.Time `json:"walked"`
}

// Answer registers what this node answers to its peers.
func (u *Usage) Answer(handle func(route string, h cluster.Handler)) {
	handle(tellRoute, u.handleTell)
	handle(flushRoute, u.handleFlush)
}

// others are the members but for this one.
func (u *Usage) others() []cluster.Member {
	self := u.cluster.Self().ID
	return slices.DeleteFunc(u.cluster.Members(), func(m cluster.Member) bool { return m.ID == self })
}

// tellAll tells every other member what it has not heard yet of some orgs.
func (u *Usage) tellAll(ctx context.Context, orgs []string) {
	about := told{Wants: u.rates.here()}
	about.Rates = len(about.Wants) > 0 || u.toldRates.Load()
	u.askAll(ctx, about, orgs)
}

// exchange has every other member know what this one has counted of an org, and the
// reverse.
func (u *Usage) exchange(ctx context.Context, org string) {
	u.askAll(ctx, told{Reply: org}, []string{org})
}

// tellable are the orgs of which others may be told now.
func (u *Usage) tellable(now time.Time) (orgs []string) {
	members := len(u.cluster.Members())
	u.mu.Lock()
	defer u.mu.Unlock()
	for org, h := range u.holdings {
		if now.Before(h.tellAt) {
			continue
		}
		orgs = append(orgs, org)
		if h.changes != h.tellOf {
			lines := len(h.mine) * members
			h.tellOf, h.tellAt = h.changes, now.Add(time.Duration(lines)*(time.Second/toldLines))
		}
	}
	return orgs
}

func (u *Usage) askAll(ctx context.Context, about told, orgs []string) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	begun := u.begun(orgs)
	var wg sync.WaitGroup
	var missed atomic.Bool
	for _, m := range u.others() {
		wg.Go(func() {
			if err := u.tell(ctx, m, about, orgs); err != nil {
				missed.Store(true)
				u.log.Debug().Err(err).Str("peer", m.Name).Msg("a member did not hear what was counted here")
			}
		})
	}
	wg.Wait()
	if !missed.Load() {
		u.heardByAll(begun)
	}
	if about.Rates {
		u.toldRates.Store(len(about.Wants) > 0 || missed.Load())
	}
}

// begun is what all writes here would have added so far to some orgs.
func (u *Usage) begun(orgs []string) map[string]Sum {
	u.mu.Lock()
	defer u.mu.Unlock()
	sums := map[string]Sum{}
	for _, org := range orgs {
		if h := u.holding(org); h.begun != h.known {
			sums[org] = h.begun
		}
	}
	return sums
}

// heardByAll remembers what all others were told.
func (u *Usage) heardByAll(sums map[string]Sum) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for org, s := range sums {
		h := u.holding(org)
		h.known = Sum{max(h.known.Bytes, s.Bytes), max(h.known.Objects, s.Objects)}
	}
}

// tell tells a member what it has not heard yet of some orgs, or, of the org of about.Reply,
// all, and hears the same.
func (u *Usage) tell(ctx context.Context, m cluster.Member, about told, orgs []string) error {
	for {
		t, more := u.news(m.ID, about, orgs)
		if len(t.Orgs) == 0 && !t.Rates && t.Reply == "" {
			return nil
		}
		text, err := json.Marshal(t)
		if err != nil {
			return err
		}
		a, err := u.cluster.Ask(ctx, m, cluster.Question{Route: tellRoute, Text: string(text)})
		if err != nil {
			return err
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("tell %s: %d: %s", m.Name, a.Status, a.Text)
		}
		var reply told
		if err := json.Unmarshal(a.Text, &reply); err != nil {
			return fmt.Errorf("tell %s: %w", m.Name, err)
		}
		u.hear(m.ID, reply)
		u.noteTold(m.ID, t.Orgs)
		if !more {
			return nil
		}
	}
}

// news is what to tell a member next, about included, and whether there is more.
func (u *Usage) news(id string, about told, orgs []string) (t told, more bool) {
	t = about
	t.Orgs = map[string]state{}
	u.mu.Lock()
	defer u.mu.Unlock()
	size := 0
	for _, org := range orgs {
		h := u.holding(org)
		if about.Reply == "" && h.told[id] == h.changes {
			continue
		}
		if size > maxTold {
			return t, true
		}
		t.Orgs[org] = h.state()
		size += 100 * len(h.mine)
	}
	return t, false
}

// state is what this start says of the org.
func (h *holding) state() state {
	s := state{Changes: h.changes, Sums: h.mine.lines(), Gross: maps.Clone(h.gross), Pending: h.pending, Writes: h.writes}
	if h.base != nil {
		s.Walked = h.base.walked
	}
	return s
}

// noteTold remembers what a member has heard.
func (u *Usage) noteTold(id string, orgs map[string]state) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for org, s := range orgs {
		h := u.holding(org)
		h.told[id] = max(h.told[id], s.Changes)
	}
}

// hear takes what another start says.
func (u *Usage) hear(id string, t told) {
	now := time.Now()
	u.mu.Lock()
	for org, s := range t.Orgs {
		if keys.ValidOrg(org) != nil {
			continue
		}
		h := u.holding(org)
		if o := h.others[id]; o != nil && o.changes > s.Changes {
			continue
		}
		sums := accountsOf(s.Sums)
		h.others[id] = &heard{at: now, changes: s.Changes, sums: sums, total: sums.total(), gross: s.Gross, pending: s.Pending, writes: s.Writes}
		h.valid = false
		h.outdated = h.outdated || h.base != nil && s.Walked.After(h.base.walked)
	}
	u.mu.Unlock()
	if t.Rates {
		u.rates.heard(now, id, t.Wants)
	}
}

func (u *Usage) handleTell(_ context.Context, asked cluster.Asked) cluster.Answer {
	var t told
	if err := json.Unmarshal([]byte(asked.Text), &t); err != nil {
		return cluster.Answer{Status: http.StatusBadRequest, Text: []byte(err.Error())}
	}
	u.hear(asked.From, t)
	reply := told{}
	if t.Reply != "" {
		u.mu.Lock()
		reply.Orgs = map[string]state{t.Reply: u.holding(t.Reply).state()}
		u.mu.Unlock()
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return cluster.Answer{Status: http.StatusInternalServerError, Text: []byte(err.Error())}
	}
	return cluster.Answer{Status: http.StatusOK, Text: text}
}
