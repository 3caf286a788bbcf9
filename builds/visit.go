package builds

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"larder/keys"
)

// How long a node still speaks for a builder or a waiter that has no connection any more.
const (
	// TTL is how long a builder without a stream keeps its claim after a beat, and a
	// waiter without one its place between two requests.
	TTL = 15 * time.Second
	// brokenBuilder is how long a builder keeps its claim when its stream has broken,
	// and brokenWaiter a waiter its place.
	brokenBuilder = 300 * time.Millisecond
	brokenWaiter  = 3500 * time.Millisecond
)

// Request is who wants a key, and what of it.
type Request struct {
	User string
	// Waiter is the name that the client chose; with none, the place is lost with the
	// connection.
	Waiter string
	Writer bool // may write, and so build
	// MaxAge is how old a value may be, in seconds; nil is any age.
	MaxAge *float64
	// Expect is how long the build usually takes, in seconds; 0 if unknown.
	Expect  float64
	Message string
	// Retry wants to hear of no failure from before.
	Retry bool
	// Claim is held already, and its holder attaches again.
	Claim *Claim
	// Stream says that the connection stays open.
	Stream bool
	// Beat says that this is only a word of a claim's holder.
	Beat bool
}

// State is what one who is attached knows.
type State struct {
	Verdict
	// Build is the present one; nil if there is none, or none is known of yet.
	Build   *Build
	Ahead   int // how many wait longer
	Waiting int
	At      time.Time // when this was heard
	number  uint64    // of the statement that the owner had taken in
}

// Visit is one who is attached to this node, by one connection or several.
type Visit struct {
	b       *Builds
	g       *group
	id      string
	nonce   uint64
	named   bool // by its client, so that it can come back
	request Request
	claim   *Claim // what it holds, nil as a waiter
	conns   int
	// There until and place until: how long it is taken for present, and how long its
	// place is kept, without a connection.
	thereUntil, placeUntil time.Time
	spoke                  uint64
	progress               *float64
	message                string
	state                  State
	changed                chan struct{} // closed when the state changes; nil if nobody waits
}

// Attach attaches somebody to this node. The caller detaches. Errors are ErrCrowd,
// ErrStreams, ErrFull and ErrLeaving.
func (b *Builds) Attach(k keys.Key, r Request) (*Visit, error) {
	id := r.User + "\x00" + r.Waiter
	switch {
	case r.Claim != nil:
		id = r.Claim.Holder
	case r.Waiter == "":
		id = r.User + "\x00\x00" + rand.Text() // which no client can name
	}
	b.mu.Lock()
	v, err := b.enter(k, id, r)
	if err != nil {
		b.mu.Unlock()
		return nil, err
	}
	b.sayNow(v.g)
	return v, nil
}

// enter is Attach for somebody with this ID. The caller holds mu.
func (b *Builds) enter(k keys.Key, id string, r Request) (*Visit, error) {
	g := b.groups[k]
	switch {
	case b.leaving:
		return nil, ErrLeaving
	case r.Stream && b.streams[k.Org] >= b.bounds.streams:
		return nil, fmt.Errorf("%w: %d", ErrStreams, b.bounds.streams)
	case g == nil && len(b.groups) >= b.bounds.groups:
		return nil, ErrFull
	case g != nil && g.visits[id] == nil && len(g.visits) >= b.bounds.perKey:
		return nil, fmt.Errorf("%w: %d", ErrCrowd, b.bounds.perKey)
	}
	if g == nil {
		g = &group{key: k, visits: map[string]*Visit{}}
		b.groups[k] = g
	}
	v := g.visits[id]
	if v == nil || v.over(time.Now()) {
		b.nonce++
		v = &Visit{b: b, g: g, id: id, nonce: b.nonce, named: r.Waiter != "" || r.Claim != nil, message: r.Message}
		g.visits[id] = v
	}
	v.enter(r)
	return v, nil
}

// enter adds a connection. The caller holds the Builds' mu.
func (v *Visit) enter(r Request) {
	v.conns++
	if !r.Beat || v.request.User == "" {
		v.request = r
	}
	if r.Stream {
		v.b.streams[v.g.key.Org]++
	}
	if r.Claim != nil {
		v.spoke++
		if v.claim == nil {
			v.claim = r.Claim
			v.state = State{Verdict: Verdict{Kind: Granted, Claim: r.Claim}}
		}
		v.g.now = true
	}
	if v.state.Kind == Waits { // what it knows may be old
		v.state, v.g.now = State{}, true
	}
	if v.state.final() { // it was decided while nobody was there to hear it
		delete(v.g.visits, v.id)
	}
}

// Detach takes a connection away. Who has none any more is spoken for a little longer:
// a builder or waiter without a stream for TTL, since it comes back. broken says that
// the connection broke before the answer.
func (v *Visit) Detach(r Request, broken bool) {
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	v.conns--
	if r.Stream {
		if b.streams[v.g.key.Org]--; b.streams[v.g.key.Org] == 0 {
			delete(b.streams, v.g.key.Org)
		}
	}
	keep, there := time.Duration(0), time.Duration(0)
	switch {
	case v.state.Kind == Moved:
		v.leave()
		return
	case v.state.final():
	case v.claim != nil && (r.Stream || r.Beat && v.claim.Stream):
		keep = brokenBuilder // another node may have its stream: this one's is none to count on
	case v.claim != nil && (v.named || !broken):
		keep, there = TTL, TTL
	case v.named && r.Stream:
		keep = brokenWaiter
	case v.named:
		keep = TTL
	}
	v.keep(keep, there)
}

// keep has the node speak for somebody for so long. The caller holds the Builds' mu.
func (v *Visit) keep(place, there time.Duration) {
	now := time.Now()
	v.thereUntil = later(v.thereUntil, now.Add(there))
	v.placeUntil = later(v.placeUntil, now.Add(place))
	for _, d := range slices.Compact([]time.Duration{place, there}) {
		if d > 0 {
			time.AfterFunc(d+time.Millisecond, func() { v.b.touchKey(v.g.key) })
		}
	}
	if there == 0 { // else nothing has changed for the owner
		v.b.touch(v.g, 0)
	}
}

// leave has a node that leaves speak for who can come back: a builder, who is attached
// elsewhere then, and a waiter with a name, whose place is kept. The caller holds the
// Builds' mu.
func (v *Visit) leave() {
	v.thereUntil, v.placeUntil = time.Time{}, time.Time{}
	if v.claim != nil || v.named {
		v.keep(absence, 0)
	} else {
		v.keep(0, 0)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// over reports whether nobody is here and no place is kept any more.
func (v *Visit) over(now time.Time) bool { return v.conns <= 0 && !now.Before(v.placeUntil) }

// isAway reports whether only the place is kept.
func (v *Visit) isAway(now time.Time) bool { return v.conns <= 0 && !now.Before(v.thereUntil) }

// attached is how the owner is told of it. The caller holds the Builds' mu.
func (v *Visit) attached(now time.Time) attached {
	r := v.request
	return attached{
		ID: v.id, Nonce: v.nonce, User: r.User, Writer: r.Writer, Away: v.isAway(now), MaxAge: r.MaxAge, Retry: r.Retry, Stream: r.Stream,
		Expect: r.Expect, Claim: v.claim, Spoke: v.spoke, Progress: v.progress, Message: v.message,
	}
}

// took takes in what the owner says to all. The caller holds the Builds' mu.
func (v *Visit) took(said view, now time.Time) {
	v.state.Build, v.state.Waiting, v.state.At, v.state.number = said.Build, said.Waiting, now, said.Number
}

// wake tells who waits for a change. The caller holds the Builds' mu.
func (v *Visit) wake() {
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// State returns what is known, and a channel that is closed when that changes.
func (v *Visit) State() (State, <-chan struct{}) {
	v.b.mu.Lock()
	defer v.b.mu.Unlock()
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.state, v.changed
}

// Speak notes that the holder of a claim was heard of.
func (v *Visit) Speak(progress *float64, message string) {
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	v.spoke++
	if progress != nil {
		v.progress = progress
	}
	if message != "" {
		v.message = message
	}
	b.touch(v.g, 0)
}

// Confirmed waits until the owner has answered a statement from after the call, and
// returns what is known then: whether a claim is still held.
func (v *Visit) Confirmed(ctx context.Context) (State, error) {
	v.b.mu.Lock()
	asked := v.b.number
	v.g.now = true
	v.b.touch(v.g, 0)
	v.b.mu.Unlock()
	for {
		s, changed := v.State()
		if s.final() || s.number > asked {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// Seal makes the token of a claim.
func (b *Builds) Seal(k keys.Key, c Claim) (string, error) { return seal(b.cfg.Secrets(), k, c) }

// Open returns the claim that a token is of, held by a user. Its error is ErrLost.
func (b *Builds) Open(k keys.Key, user, token string) (Claim, error) {
	c, err := open(b.cfg.Secrets(), k, token)
	if err == nil && c.User != user {
		return Claim{}, fmt.Errorf("%w: it was granted to somebody else", ErrLost)
	}
	return c, err
}
