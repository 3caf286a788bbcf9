package builds

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"larder/cluster"
	"larder/keys"
)

const (
	// sayEvery is the least time between two statements of a key: who come at once
	// are named together.
	sayEvery = 5 * time.Millisecond
	// drainLook is the pause between two looks whether all builders are elsewhere.
	drainLook = 20 * time.Millisecond
	// maxView bounds an owner's answer, in bytes.
	maxView = 8 << 20
)

// group is all who are attached to this node for one key.
type group struct {
	key    keys.Key
	visits map[string]*Visit // by ID

	// owner is whose view was taken in last, with this version.
	owner string
	seen  uint64
	// now asks for an answer at once with the next statement.
	now       bool
	scheduled bool
	said      time.Time
	last      uint64     // the number of the last statement
	announced uint64     // of the last that answered a new owner
	turn      sync.Mutex // held while this node says something to itself; before Builds.mu
}

// touchKey has the node say anew who is attached for a key, if anybody is.
func (b *Builds) touchKey(k keys.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[k]; g != nil {
		b.touch(g, 0)
	}
}

// hear takes in what this node says to itself as the owner of a key.
func (b *Builds) hear(k keys.Key) {
	ring := b.ring()
	m, self := b.cluster.Owner(k.Hash())
	v, ok := b.owner.viewHere(k)
	b.mu.Lock()
	g := b.groups[k]
	b.mu.Unlock()
	if g != nil && self && ok {
		b.take(g, statement{Number: v.Number}, ring, m.ID, v, nil)
	}
}

// touch has the node say anew, after a pause, who is attached for a key. The caller
// holds mu.
func (b *Builds) touch(g *group, pause time.Duration) {
	if g.scheduled || b.over {
		return
	}
	g.scheduled = true
	pause = max(pause, g.pause())
	b.saying.Add(1) // none is added once stop waits
	time.AfterFunc(pause, func() {
		defer b.saying.Done()
		b.say(g)
	})
}

// pause is how long nothing more is said of a key. The caller holds mu.
func (g *group) pause() time.Duration { return max(0, time.Until(g.said.Add(sayEvery))) }

// sayNow is touch without another goroutine: if this node owns the key, it says at once who
// is attached, and the owner's answer is known when it returns. If another node owns it, or
// something was said less than sayEvery ago, it does what touch does. The caller holds mu,
// which sayNow unlocks.
func (b *Builds) sayNow(g *group) {
	if _, self := b.cluster.Owner(g.key.Hash()); !self || g.scheduled || b.over || g.pause() > 0 {
		b.touch(g, 0)
		b.mu.Unlock()
		return
	}
	g.scheduled = true
	b.saying.Add(1)
	b.mu.Unlock()
	q := b.sayHere(g, false)
	if q == nil {
		b.saying.Done()
		return
	}
	go func() { // another node has become the owner meanwhile
		defer b.saying.Done()
		b.sayThere(g, q)
	}()
}

// asking is a statement that goes to another node.
type asking struct {
	said  statement
	ring  uint64
	owner cluster.Member
}

// say tells the owner who is attached here, and takes in its answer. A question to
// another node lasts until there is something to tell.
func (b *Builds) say(g *group) {
	if q := b.sayHere(g, false); q != nil {
		b.sayThere(g, q)
	}
}

// sayThere says who is attached to another node, which is the owner.
func (b *Builds) sayThere(g *group, q *asking) {
	v, superseded, err := b.ask(q.owner, g.key, q.said)
	if !superseded {
		b.take(g, q.said, q.ring, q.owner.ID, v, err)
	}
}

// sayHere says who is attached if this node is the owner. If not, it returns the question
// for the owner, or nil if only this node was to be told.
func (b *Builds) sayHere(g *group, only bool) *asking {
	g.turn.Lock()
	defer g.turn.Unlock()
	ring := b.ring() // before the owner is looked up
	m, self := b.cluster.Owner(g.key.Hash())
	b.mu.Lock()
	if b.groups[g.key] != g || only && !self { // a group that was forgotten must not speak for the one that came after it
		b.mu.Unlock()
		return nil
	}
	s := b.statement(g, m.ID)
	b.mu.Unlock()
	if !self {
		return &asking{s, ring, m}
	}
	v, err := b.owner.attendHere(g.key, s)
	b.take(g, s, ring, m.ID, v, err)
	return nil
}

// statement names who is attached, without those whose time is over. A group without
// anybody is forgotten. The caller holds mu.
func (b *Builds) statement(g *group, owner string) statement {
	now := time.Now()
	g.scheduled, g.said = false, now
	if g.owner != owner {
		g.owner, g.seen = owner, 0
	}
	b.number++
	g.last = b.number
	s := statement{Number: b.number, Seen: g.seen, Now: g.now}
	g.now = false
	for id, v := range g.visits {
		if v.over(now) {
			delete(g.visits, id)
			continue
		}
		s.Attached = append(s.Attached, v.attached(now))
	}
	slices.SortFunc(s.Attached, func(x, y attached) int { return cmp.Compare(x.Nonce, y.Nonce) }) // as they came
	if len(g.visits) == 0 && b.groups[g.key] == g {
		delete(b.groups, g.key)
	}
	return s
}

// ask sends a statement to another node, and returns its answer.
func (b *Builds) ask(m cluster.Member, k keys.Key, s statement) (v view, superseded bool, err error) {
	body, err := json.Marshal(s)
	if err != nil {
		return v, false, err
	}
	// It ends with an answer, with the member, with a second of silence or three, or with
	// Run.
	ctx, cancel := b.within(2 * holdLimit)
	defer cancel()
	a, err := b.cluster.Ask(ctx, m, cluster.Question{Route: attendRoute, Text: k.Place(), Body: body, Room: maxView})
	switch {
	case err != nil:
		return v, false, err
	case a.Status == http.StatusNoContent:
		return v, true, nil
	case a.Status == http.StatusMisdirectedRequest:
		return v, false, errNotOwner
	case a.Status == http.StatusTooManyRequests:
		return v, false, errFull
	case a.Status != http.StatusOK:
		return v, false, fmt.Errorf("%s answered %d: %s", m.Name, a.Status, a.Text)
	}
	return v, false, json.Unmarshal(a.Body, &v)
}

// take takes in what the owner said, and tells it to those whom it is for.
//
// Rule 25: it counts only if since it was asked for the ring has not changed, and no new
// owner was told who is attached here. Otherwise those who are attached are named to the
// owner that the ring has now. Who came back meanwhile has another nonce.
func (b *Builds) take(g *group, s statement, ring uint64, owner string, v view, err error) {
	_, self := b.cluster.Owner(g.key.Hash())
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(g.visits) == 0 {
		return
	}
	switch {
	case b.ring() != ring || s.Number < g.announced:
		b.touch(g, 0)
		return
	case errors.Is(err, errFull):
		for _, visit := range g.visits {
			b.tell(g, visit, told{Verdict: Verdict{Kind: Troubled, Error: ErrFull.Error()}})
		}
		return
	case err != nil:
		if s.Number == g.last { // else another statement is on its way
			b.touch(g, again)
		}
		return
	case g.owner != owner || v.Version < g.seen: // it is late
		if s.Number == g.last && !self {
			b.touch(g, 0)
		}
		return
	}
	g.seen = v.Version
	now := time.Now()
	for id, visit := range g.visits {
		visit.took(v, now)
		if t, ok := v.Told[id]; ok && t.Nonce == visit.nonce {
			visit.state.Ahead = t.Ahead
			b.tell(g, visit, t)
		}
		visit.wake()
	}
	if !self {
		b.touch(g, 0) // a question has to be under way
	}
}

// tell tells one who is attached what has become of it. The caller holds mu.
func (b *Builds) tell(g *group, v *Visit, said told) {
	now := time.Now()
	switch {
	case v.state.Kind == Moved:
		if said.final() || said.Elsewhere {
			delete(g.visits, v.id)
			b.touch(g, 0)
		}
		return
	case v.state.final():
		return // nobody was there to hear it
	case said.Kind == Granted && v.claim == nil:
		if v.isAway(now) {
			b.touch(g, 0) // nobody is there to take it: the owner hears so
			return
		}
		v.claim = said.Claim
		v.state.Verdict = said.Verdict
		g.now = true
		b.touch(g, 0) // the owner hears that it was taken
	case said.final():
		v.state.Verdict = said.Verdict
		if v.conns > 0 || v.claim != nil {
			delete(g.visits, v.id)
		}
		b.touch(g, 0)
	case said.Kind == Waits:
		v.state.Verdict = said.Verdict
	}
	v.wake()
}

// drain ends all streams and all who wait with Moved, and lets nobody attach any more.
func (b *Builds) drain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaving = true
	for _, g := range b.groups {
		for _, v := range g.visits {
			if v.state.final() {
				continue
			}
			v.state.Verdict = Verdict{Kind: Moved}
			v.wake()
			if v.conns == 0 {
				v.leave()
			}
		}
	}
}

// Drain ends the streams of this node with Moved, which gives nothing up.
//
// Rule 28: a node that leaves does this first. It speaks for its builders until their
// owners know them attached elsewhere, or for as long as an owner would wait for them.
func (b *Builds) Drain(ctx context.Context) error {
	b.drain()
	ctx, cancel := context.WithTimeout(ctx, absence)
	defer cancel()
	for b.speaks() {
		select {
		case <-time.After(drainLook):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// speaks reports whether a builder is attached here.
func (b *Builds) speaks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.groups {
		for _, v := range g.visits {
			if v.claim != nil {
				return true
			}
		}
	}
	return false
}
