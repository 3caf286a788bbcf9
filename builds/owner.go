package builds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"larder/cluster"
	"larder/fill"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

const (
	attendRoute = "builds/attend"
	giveUpRoute = "builds/give-up"
	wroteRoute  = "builds/wrote"
	// holdLimit is how long a question waits for a change, at most.
	holdLimit = 30 * time.Second
	// lookLimit bounds a look at a key.
	lookLimit = 30 * time.Second
	// tickEvery is how often what only time changes is looked at.
	tickEvery = 100 * time.Millisecond
	// maxStatement bounds what a node says of one key, in bytes.
	maxStatement = 8 << 20
)

// errNotOwner says that the key has another owner.
var errNotOwner = errors.New("not the owner of the key")

// owner is what this node does as the owner of keys: the table, with a clock, looks and
// questions around it.
type owner struct {
	b  *Builds
	mu sync.Mutex // guards the table and over; no other lock is taken under it
	t  *table

	looking sync.WaitGroup
	over    bool // no look begins any more
}

// end lets no look begin any more, and waits for those that have begun.
func (o *owner) end() {
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	o.looking.Wait()
}

// with runs f on the table, and then what follows from it.
func (o *owner) with(f func(t *table, now time.Time)) {
	now := time.Now()
	ring := o.b.ring()
	o.mu.Lock()
	o.t.ringChanged(now, ring, o.owns, o.isMember)
	f(o.t, now)
	looks, touched, notes := o.t.looks, o.t.touched, o.t.notes
	o.t.looks, o.t.touched, o.t.notes = nil, nil, nil
	if o.over {
		looks = nil
	}
	o.looking.Add(len(looks)) // under the lock: none is added once end waits
	o.mu.Unlock()
	for _, k := range looks {
		o.look(k)
	}
	for _, k := range slices.Compact(touched) {
		o.b.hear(k)
	}
	for _, n := range notes {
		o.b.audit.Info().Str("org", n.key.Org).Str("user", n.user).Str("op", "build").Str("service", n.key.Service).
			Str("key", n.key.Name).Str("verdict", n.verdict).Str("detail", n.detail).Msg("audit")
	}
}

func (o *owner) owns(k keys.Key) bool {
	_, self := o.b.cluster.Owner(k.Hash())
	return self
}

func (o *owner) isMember(id string) bool {
	_, ok := o.b.cluster.Member(id)
	return ok
}

// look looks what a key holds, by the rules of a read. It waits for nothing: where
// something has to be asked, a goroutine does.
func (o *owner) look(k keys.Key) {
	looked := func(h store.Head, err error) {
		o.with(func(t *table, now time.Time) { t.looked(now, k, h, err) })
		o.looking.Done()
	}
	if h, ok, err := o.b.read.StatHere(k); ok {
		looked(h, err)
		return
	}
	go func() { // ends within lookLimit, and end waits for it
		ctx, cancel := o.b.within(lookLimit)
		defer cancel()
		h, _, err := o.b.read.Stat(ctx, k, fill.Options{})
		looked(h, err)
	}()
}

// attendHere takes in a statement of this node itself, and answers with what there is to
// say to it now.
func (o *owner) attendHere(k keys.Key, s statement) (v view, err error) {
	if !o.owns(k) {
		return view{}, errNotOwner
	}
	o.with(func(t *table, now time.Time) {
		var st *state
		if st, err = t.say(now, t.self, k, s); st != nil {
			v = st.view(now, t.self)
		}
	})
	return v, err
}

// attend takes in a statement of another node, and answers with what there is to say to
// it once that has changed. superseded says that the node has said something later.
func (o *owner) attend(ctx context.Context, node string, k keys.Key, s statement) (v view, superseded bool, err error) {
	if !o.owns(k) {
		return view{}, false, errNotOwner
	}
	var st *state
	o.with(func(t *table, now time.Time) { st, err = t.say(now, node, k, s) })
	if err != nil || st == nil {
		return view{}, false, err
	}
	defer o.with(func(t *table, _ time.Time) { t.answered(node, st, s.Number) })
	limit := time.NewTimer(holdLimit)
	defer limit.Stop()
	for {
		var changed, next <-chan struct{}
		v, changed, next, err = o.viewOf(st, node, s)
		switch {
		case err != nil:
			return view{}, false, err
		case next == nil:
			return view{}, true, nil
		case v.Version > s.Seen || s.Now || len(s.Attached) == 0:
			return v, false, nil
		}
		select {
		case <-changed:
		case <-next:
		case <-limit.C:
			return v, false, nil
		case <-ctx.Done():
			return view{}, false, ctx.Err()
		}
	}
}

// viewOf is the view of a node, and what ends its being so: a change, or a later
// statement, of which next is nil if there was one.
func (o *owner) viewOf(st *state, node string, s statement) (v view, changed, next <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if st.gone {
		return v, nil, nil, errNotOwner
	}
	sp := st.speakers[node]
	if sp == nil { // it has nobody any more
		none := make(chan struct{})
		return st.view(time.Now(), node), none, none, nil
	}
	if sp.number != s.Number {
		return v, nil, nil, nil
	}
	if sp.next == nil {
		sp.next = make(chan struct{})
	}
	if st.changed == nil {
		st.changed = make(chan struct{})
	}
	return st.view(time.Now(), node), st.changed, sp.next, nil
}

// viewHere is what there is to say of a key to this node itself; ok is false if nothing is.
func (o *owner) viewHere(k keys.Key) (v view, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	st := o.t.keys[k]
	if st == nil {
		return view{}, false
	}
	return st.view(time.Now(), o.t.self), true
}

// Mark notes that a write is about to change k in the store, and reports whether it may:
// the claim that it bears, if any, was not ended by a write. Unmark follows if it may.
func (b *Builds) Mark(k keys.Key, claim string) (ok bool) {
	b.owner.with(func(t *table, _ time.Time) { ok = t.mark(k, claim) })
	return ok
}

// Unmark tells what came of a write that was marked, before its caller is told.
func (b *Builds) Unmark(k keys.Key, claim string, o heads.Outcome) {
	b.owner.with(func(t *table, now time.Time) { t.unmark(now, k, claim, o) })
}

// Fenced tells that a user's write was refused, since its claim is lost.
func (b *Builds) Fenced(k keys.Key, user, claim string) {
	b.owner.with(func(t *table, now time.Time) { t.fenced(now, k, user, claim) })
}

// wroteSaid tells a new owner of a write that a former one has done.
type wroteSaid struct {
	Place string
	Claim string
	Is    heads.Known
}

// Wrote tells the owner that k has now of a write that another owner did.
func (b *Builds) Wrote(ctx context.Context, k keys.Key, claim string, is heads.Known) {
	err := b.atOwner(ctx, k, wroteRoute, wroteSaid{Place: k.Place(), Claim: claim, Is: is}, func() error {
		b.owner.with(func(t *table, now time.Time) { t.wrote(now, k, claim, is) })
		return nil
	})
	if err != nil {
		b.log.Debug().Err(err).Stringer("key", k).Msg("the new owner of a key was not told of a write")
	}
}

// giveUpSaid is how a claim is given up. Without a claim it is the one that Ending names.
// An owner of an older release, which does not know Ending, finds no claim without a
// name, and answers that it is lost.
type giveUpSaid struct {
	Place string
	Claim Claim
	Verdict
	Ending *Ending `json:",omitempty"`
}

// Ending names a claim by who ends it, without its token.
type Ending struct {
	User string
	// Any lets it be another user's.
	Any bool `json:",omitempty"`
	// Since is when it was granted, in Unix milliseconds, so that a request that is repeated
	// does not end the claim that came after.
	Since int64
}

// GiveUp gives a claim up: failure or unstored says why, if either is not empty. Its error
// is ErrLost, or store.ErrUnavailable if ctx ended before the owner had answered.
func (b *Builds) GiveUp(ctx context.Context, k keys.Key, c Claim, failure, unstored string) error {
	v := Verdict{}
	switch {
	case failure != "":
		v = Verdict{Kind: Failed, Error: failure}
	case unstored != "":
		v = Verdict{Kind: Unstored, Error: unstored}
	}
	return b.tellOwner(ctx, k, giveUpSaid{Place: k.Place(), Claim: c, Verdict: v})
}

// End ends the claim of a key, without its token, for its user or for whoever may end
// that of others; failure says why, if it is not empty. Its error is that of GiveUp, or
// ErrOthers.
func (b *Builds) End(ctx context.Context, k keys.Key, e Ending, failure string) error {
	v := Verdict{}
	if failure != "" {
		v = Verdict{Kind: Failed, Error: failure}
	}
	return b.tellOwner(ctx, k, giveUpSaid{Place: k.Place(), Verdict: v, Ending: &e})
}

func (b *Builds) tellOwner(ctx context.Context, k keys.Key, s giveUpSaid) error {
	return b.atOwner(ctx, k, giveUpRoute, s, func() error { return b.gaveUp(k, s) })
}

// gaveUp takes in, as the owner of k, that its claim is given up.
func (b *Builds) gaveUp(k keys.Key, s giveUpSaid) (err error) {
	b.owner.with(func(t *table, now time.Time) {
		if s.Ending != nil {
			err = t.end(now, k, *s.Ending, s.Verdict)
		} else {
			err = t.giveUp(now, k, s.Claim, s.Verdict)
		}
	})
	return err
}

// again is the pause before an owner that gave no answer, or is none, is asked again.
const again = 100 * time.Millisecond

// errUnasked says that the owner of a key does not know yet who builds it.
var errUnasked = errors.New("this owner does not know yet what is being built")

// atOwner does something at the owner of a key: here, or by a question. It tries again
// until ctx ends while there is no owner to answer, or none that knows.
func (b *Builds) atOwner(ctx context.Context, k keys.Key, route string, what any, here func() error) error {
	for {
		var err error
		if m, self := b.cluster.Owner(k.Hash()); self {
			err = here()
		} else {
			err = b.askOwner(ctx, m, route, what)
		}
		if err == nil || errors.Is(err, ErrLost) || errors.Is(err, ErrOthers) {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return fmt.Errorf("ask the owner of %s: %w: %w", k, store.ErrUnavailable, err)
		}
	}
}

func (b *Builds) askOwner(ctx context.Context, m cluster.Member, route string, what any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	a, err := b.cluster.Ask(ctx, m, cluster.Question{Route: route, Body: body})
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusNoContent:
		return nil
	case a.Status == http.StatusConflict:
		return ErrLost
	case a.Status == http.StatusForbidden:
		return ErrOthers
	}
	return fmt.Errorf("%s answered %d: %s", m.Name, a.Status, a.Text)
}
