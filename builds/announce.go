package builds

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"larder/cluster"
	"larder/keys"
)

const (
	attachedRoute = "builds/attached"
	// askLimit is how long a new owner waits for members to say who is attached there.
	askLimit = 3 * time.Second
	// askAgain is the pause before a member that does not answer yet is asked again.
	askAgain = 20 * time.Millisecond
	// maxAttached bounds what a member says of all keys, in bytes.
	maxAttached = 64 << 20
)

// keySaid is what a member says of one key when it is asked who is attached there.
type keySaid struct {
	Place string
	statement
}

// RingChanged takes in that the members have changed: what others own is forgotten, who
// is attached here is named to the owners that there are now, and those who are
// attached elsewhere are asked for.
func (b *Builds) RingChanged() {
	b.owner.with(func(*table, time.Time) {}) // which takes the ring in first
	b.mu.Lock()
	for _, g := range b.groups {
		b.touch(g, 0)
	}
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// askAll asks every member who is attached there, this node too.
//
// Rule 26: nothing is granted before each has answered, or has had three seconds.
func (b *Builds) askAll(ctx context.Context) {
	ring := b.ring()
	var since time.Time
	b.owner.with(func(t *table, _ time.Time) { since = t.unasked })
	ctx, cancel := context.WithDeadline(ctx, since.Add(askLimit)) // however often the ring changes
	defer cancel()
	members := b.cluster.Members()
	text := idsOf(members)
	var wg sync.WaitGroup
	for _, m := range members {
		if m.ID == b.cluster.Self().ID {
			continue
		}
		wg.Go(func() {
			for !b.askAttached(ctx, m, text) && b.ring() == ring {
				select {
				case <-time.After(askAgain):
				case <-ctx.Done():
				}
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					b.log.Warn().Str("peer", m.Name).Msg("a member did not say in time who builds there: what is built may be built twice")
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	b.sayOwn()
	wg.Wait()
	b.owner.with(func(t *table, now time.Time) { t.allAsked(now, ring) })
}

// sayOwn has this node answer itself: who is attached here for keys that it owns.
func (b *Builds) sayOwn() {
	b.mu.Lock()
	groups := slices.Collect(maps.Values(b.groups))
	b.mu.Unlock()
	for _, g := range groups {
		b.sayHere(g, true)
	}
}

// askAttached asks one member, and reports whether it has answered.
func (b *Builds) askAttached(ctx context.Context, m cluster.Member, members string) bool {
	a, err := b.cluster.Ask(ctx, m, cluster.Question{Route: attachedRoute, Text: members, Room: maxAttached})
	if err != nil || a.Status != http.StatusOK {
		return false
	}
	var all []keySaid
	if err := json.Unmarshal(a.Body, &all); err != nil {
		b.log.Warn().Err(err).Str("peer", m.Name).Msg("cannot read who is attached at a member")
		return false
	}
	for _, said := range all {
		k, err := keys.FromPlace(said.Place)
		if err != nil || !b.owner.owns(k) {
			continue
		}
		b.owner.with(func(t *table, now time.Time) {
			st, err := t.say(now, m.ID, k, said.statement)
			if err == nil && st != nil {
				t.answered(m.ID, st, said.Number)
			}
		})
	}
	return true
}

// idsOf names members, so that nodes can tell whether they see the same ones.
func idsOf(members []cluster.Member) string {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// handleAttached answers who is attached here for keys that the asker owns, once it sees
// the same members as the asker: before, it may take another for the owner of a key. So
// the ring must not change between the two. A grant that arrives later is not taken
// (rule 25), so nobody is named as a waiter here who is a builder then.
func (b *Builds) handleAttached(_ context.Context, asked cluster.Asked) cluster.Answer {
	ring := b.ring()
	if asked.Text != idsOf(b.cluster.Members()) {
		return refusal(http.StatusConflict, "other members here, or not yet")
	}
	all := []keySaid{}
	b.mu.Lock()
	for k, g := range b.groups {
		if m, _ := b.cluster.Owner(k.Hash()); m.ID == asked.From {
			all = append(all, keySaid{Place: k.Place(), statement: b.statement(g, m.ID)})
			g.announced = g.last
			b.touch(g, 0)
		}
	}
	b.mu.Unlock()
	if b.ring() != ring {
		return refusal(http.StatusConflict, "the members here have just changed")
	}
	return answered(all)
}
