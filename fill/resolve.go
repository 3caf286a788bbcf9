package fill

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"larder/budget"
	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// Source is where an answer came from.
type Source string

// The sources, as Cache-Status and the metrics name them.
const (
	Memory Source = "memory" // this node's
	Hot    Source = "hot"    // this node's copy of a chunk that another owns
	Peer   Source = "peer"   // the owner's memory
	S3     Source = "s3"
)

// want is how much a lookup has to bring.
type want bool

const (
	headOnly  want = false
	withBytes want = true
)

// answer is what a lookup brought.
type answer struct {
	heads.Known
	Source   Source
	first    []byte // the first chunk, if hasFirst
	hasFirst bool
	pin      *pin // of the first chunk, for whoever has the answer
	kept     bool // the head was trusted when the lookup ended
}

// flightKey tells lookups apart that cannot serve each other. A lookup as
// owner asks the store; one as another node asks the owner.
type flightKey struct {
	key     keys.Key
	asOwner bool
	want    want
}

// lookups are those that are under way, by their key's hash.
type lookups [64]flights

// flights is one part of the lookups.
type flights struct {
	mu      sync.Mutex // guards all below; held when the budgets' and the heads' are taken, never after them
	running map[flightKey]*flight
}

func (l *lookups) init() {
	for i := range l {
		l[i].running = map[flightKey]*flight{}
	}
}

func (l *lookups) of(k keys.Key) *flights { return &l[k.Hash()%uint64(len(l))] }

// flight is one lookup that any number of callers wait for.
type flight struct {
	began heads.Moment
	user  string        // who asked first, and is charged
	done  chan struct{} // closed when the fields below are set
	ans   answer
	err   error

	waiters int  // callers that have not taken the answer; guarded by the flights' mu
	ended   bool // the same
}

// leave takes one waiter off. The last gives back what the answer holds.
func (fl *flight) leave(s *flights) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fl.waiters--
	fl.letGo()
}

// letGo gives back what the answer holds once nobody waits for it. The caller
// holds mu.
func (fl *flight) letGo() {
	if fl.ended && fl.waiters == 0 {
		fl.ans.pin.release()
	}
}

// resolve finds the head of k: under a live lease, else by one lookup for all
// who ask at once.
func (f *Filler) resolve(ctx context.Context, k keys.Key, w want, user string) (answer, error) {
	owner, self := f.ring.Owner(k.Hash())
	return f.resolveAs(ctx, k, w, user, owner, self)
}

func (f *Filler) resolveAs(ctx context.Context, k keys.Key, w want, user string, owner cluster.Member, self bool) (answer, error) {
	arrived := time.Now()
	for {
		a, fl := f.join(k, w, user, owner, self)
		if fl == nil {
			f.sample(k)
			return a, nil
		}
		s := f.lookups.of(k)
		select {
		case <-fl.done:
		case <-ctx.Done():
			fl.leave(s)
			return answer{}, fmt.Errorf("get %s: %w", k, ctx.Err())
		}
		if fl.err != nil || fl.ans.kept || !fl.began.At.Before(arrived) {
			a := fl.ans
			a.pin = a.pin.again()
			fl.leave(s)
			return a, fl.err
		}
		fl.leave(s)
		// The lookup began before this caller asked, and what it found may have
		// been replaced since, even acknowledged. The next began later.
	}
}

// join returns what is known under a live lease, or the lookup to wait for, and
// then to leave: one that is under way, or a new one.
//
// Rule 3: nobody joins a lookup of a key that was dropped since it began. Who joined
// takes the answer if it was kept, or if the lookup began after the joiner asked.
func (f *Filler) join(k keys.Key, w want, user string, owner cluster.Member, self bool) (answer, *flight) {
	s := f.lookups.of(k)
	fk := flightKey{key: k, asOwner: self, want: w}
	s.mu.Lock()
	defer s.mu.Unlock()
	is, live, now := f.heads.Get(k)
	running := s.running[flightKey{key: k, asOwner: self, want: withBytes}]
	if running != nil && !running.began.Undisturbed(now) {
		running = nil
	}
	// Who wants the bytes waits for a lookup that brings them even if the head
	// is known meanwhile: the chunk would be a second request.
	if live && (running == nil || w != withBytes) {
		return answer{Known: is, Source: Memory}, nil
	}
	if fl := s.running[fk]; running == nil && fl != nil && fl.began.Undisturbed(now) {
		running = fl
	}
	if running != nil {
		running.waiters++
		return answer{}, running
	}
	fl := &flight{began: now, user: user, done: make(chan struct{}), waiters: 1}
	s.running[fk] = fl
	f.flights.Go(func() { f.fly(s, fk, fl, owner) })
	return answer{}, fl
}

// fly runs a lookup to its end, on nobody's context but its own.
func (f *Filler) fly(s *flights, fk flightKey, fl *flight, owner cluster.Member) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			fl.err = f.panicked(fk.key, p)
		}
		s.mu.Lock()
		if s.running[fk] == fl {
			delete(s.running, fk)
		}
		fl.ended = true
		fl.letGo()
		s.mu.Unlock()
		close(fl.done)
	}()
	if fk.asOwner {
		fl.ans, fl.err = f.lookAsOwner(ctx, fk, fl)
	} else {
		fl.ans, fl.err = f.lookAtOwner(ctx, fk, fl, owner)
	}
	fl.err = outOfTime(fl.err)
}

// outOfTime makes the end of a fetch's own time what it means to its callers,
// whose time has not ended: the store gave no answer, if it was asked.
func outOfTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, budget.ErrBusy) {
		return fmt.Errorf("%w: no answer within %s: %w", store.ErrUnavailable, fetchLimit, err)
	}
	return err
}

// lookAsOwner asks the store, keeps the head and puts the first chunk into memory.
func (f *Filler) lookAsOwner(ctx context.Context, fk flightKey, fl *flight) (answer, error) {
	k := fk.key
	a, err := f.fromStore(ctx, k, fk.want, fl.user)
	if err != nil {
		return answer{}, err
	}
	if a.hasFirst && f.heads.Must(k, int64(len(a.first)) == f.chunkLen(a.Head.Size, 0), "a first chunk is as long as its head says") {
		f.owned.Add(f.chunkOf(k, a.Head, 0).name(), a.first)
	}
	a.kept = f.heads.KeepOwned(k, fl.began, a.Known)
	return a, nil
}

// lookAtOwner asks the key's owner.
//
// Rule 2: if that gives no answer, or is unsettled, the store's answer is good for
// this request and is not kept. A node that is not the owner in its own view gives none.
func (f *Filler) lookAtOwner(ctx context.Context, fk flightKey, fl *flight, owner cluster.Member) (answer, error) {
	k, w := fk.key, fk.want
	if f.heads.Unsettled(owner.ID) {
		return f.fromStore(ctx, k, w, fl.user)
	}
	a, lease, err := f.askHead(ctx, owner, k, w)
	if errors.Is(err, errOwnerSays) {
		return answer{}, err
	}
	if err != nil {
		f.log.Debug().Err(err).Str("peer", owner.Name).Msg("owner gave no head, reading the store")
		return f.fromStore(ctx, k, w, fl.user)
	}
	a.kept = f.heads.Must(k, !a.hasFirst || !a.Absent, "what is absent has no bytes") && f.heads.KeepLease(k, fl.began, a.Known, lease)
	if a.Source != S3 {
		a.Source = Peer
	}
	return a, nil
}

// fresh asks the store for this caller alone. An owner keeps the answer; any
// other node forgets what it held, which can only be as new or older.
func (f *Filler) fresh(ctx context.Context, k keys.Key, w want, user string) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = f.panicked(k, p)
		}
	}()
	if _, self := f.ring.Owner(k.Hash()); self {
		fk := flightKey{key: k, asOwner: true, want: w}
		return f.lookAsOwner(ctx, fk, &flight{began: f.heads.Now(k), user: user})
	}
	a, err = f.fromStore(ctx, k, w, user)
	if err == nil {
		f.heads.Forget(k)
		f.heads.Remember(k, a.Known)
	}
	return a, err
}

// fromStore asks the store: for the head, and in the same request for the first
// chunk if that is wanted. Absence is an answer.
//
// Who holds the first chunk of the version that was there last asks for the head
// alone, and compares more than the ETag: a read under the condition of an ETag,
// If-None-Match, would be answered 304 for other bytes of the same MD5 too.
func (f *Filler) fromStore(ctx context.Context, k keys.Key, w want, user string) (a answer, err error) {
	a.Source = S3
	last, held := f.lastHeld(k, w)
	if w == headOnly || held {
		a.Head, err = f.store.Head(ctx, k.Place())
	}
	if w == withBytes && err == nil && (!held || versionOf(a.Head) != versionOf(last)) {
		err = twice(func() error { return f.firstFromStore(ctx, k, user, &a) })
	}
	if errors.Is(err, store.ErrNotFound) {
		a, err = answer{Known: heads.Known{Absent: true, Archived: errors.Is(err, store.ErrArchived)}, Source: S3}, nil
	}
	if err == nil {
		f.heads.Remember(k, a.Known)
		f.noteForeign(k, a.Known)
	}
	return a, err
}

// noteForeign says in the log that an object lacks all that Larder writes beside
// one: some servers lose it.
func (f *Filler) noteForeign(k keys.Key, is heads.Known) {
	if h := is.Head; !is.Absent && h.Write == "" && h.Digest == "" && h.Writer == "" {
		f.foreign.Warn().Stringer("key", k).Str("version", h.Version).
			Msg("object without what Larder writes beside it: another tool wrote it, or S3 has lost its metadata")
	}
}

// lastHeld is the head that this node heard of last, if it has the first chunk of
// that version in memory, and bytes are wanted.
func (f *Filler) lastHeld(k keys.Key, w want) (store.Head, bool) {
	last, ok := f.heads.Last(k)
	if w == headOnly || !ok {
		return last, false
	}
	c := f.chunkOf(k, last, 0)
	if c.length == 0 {
		return last, true
	}
	name := c.name()
	if _, ok := f.hot.get(name); ok {
		return last, true
	}
	b, ok := f.owned.Peek(name)
	return last, ok && c.isLong(b) == nil
}

// firstFromStore reads the head and the first chunk, for which it takes memory
// as soon as its length is known, and compares the bytes with their digest. If it
// has to wait for memory it lets the store go meanwhile, whose patience with who
// reads nothing is short, and then asks again.
func (f *Filler) firstFromStore(ctx context.Context, k keys.Key, user string, a *answer) (err error) {
	defer func() {
		if err != nil {
			a.pin.release()
			a.pin = nil
		}
	}()
	id, streams := chunkID{k, 0}, f.budgets.streams
	var body []byte
	for held, lacks := int64(0), int64(1); lacks > 0; {
		lacks = 0
		a.Head, body, err = f.store.Get(ctx, k.Place(), f.cfg.ChunkSize, func(n int64) ([]byte, error) {
			if n > held {
				a.pin.release()
				var ok bool
				if a.pin, ok = streams.holdAtOnce(user, id, n); !ok {
					held, lacks = 0, n
					return nil, budget.ErrBusy
				}
				held = n
			}
			return make([]byte, n), nil
		})
		if lacks > 0 {
			if a.pin, err = streams.hold(ctx, user, id, lacks); err != nil {
				return err
			}
			held = lacks
		}
	}
	if err != nil {
		return err
	}
	sum := a.Head.Sum
	a.Head.Sum = nil
	if err = f.checkSum(ctx, f.chunkOf(k, a.Head, 0), body, sum, S3); err != nil {
		return err
	}
	a.first, a.hasFirst = body, true
	return nil
}

// panicked logs a panic and makes it an error, so that it strands nobody.
func (f *Filler) panicked(k keys.Key, p any) error {
	f.log.Error().Stringer("key", k).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in a fetch")
	return fmt.Errorf("get %s: %w", k, ErrPanic)
}
