package fill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
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
	Source chunks.Source
	first  chunks.Data // the first chunk, if the lookup brought it, for whoever has the answer
	kept   bool        // the head was trusted when the lookup ended
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
		fl.ans.first.Close()
	}
}

// resolve finds the head of k: under a live lease, else by one lookup for all
// who ask at once.
func (f *Filler) resolve(ctx context.Context, k keys.Key, w want, user string, owner chunks.Owner) (answer, error) {
	arrived := time.Now()
	for {
		a, fl := f.join(k, w, user, owner)
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
			a.first = a.first.Share()
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
// Rule 3: nobody joins a lookup of a key that was dropped since it began. A caller
// that joined uses the answer if it was kept, or if the lookup began after that
// caller asked.
func (f *Filler) join(k keys.Key, w want, user string, owner chunks.Owner) (answer, *flight) {
	s := f.lookups.of(k)
	fk := flightKey{key: k, asOwner: owner.Self, want: w}
	s.mu.Lock()
	defer s.mu.Unlock()
	is, live, now := f.heads.Get(k)
	running := s.running[flightKey{key: k, asOwner: owner.Self, want: withBytes}]
	if running != nil && !running.began.Undisturbed(now) {
		running = nil
	}
	// A caller who wants the bytes waits for a lookup that brings them even if the head
	// is known meanwhile: the chunk would be a second request.
	if live && (running == nil || w != withBytes) {
		return answer{Known: is, Source: chunks.Memory}, nil
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
	f.flights.Go(func() { f.fly(s, fk, fl, owner.Member) })
	return answer{}, fl
}

// fly runs a lookup to its end, on nobody's context but its own.
func (f *Filler) fly(s *flights, fk flightKey, fl *flight, owner cluster.Member) {
	fl.err = f.chunks.Bounded(context.Background(), fk.key, func(ctx context.Context) (err error) {
		if fk.asOwner {
			fl.ans, err = f.lookAsOwner(ctx, fk, fl)
		} else {
			fl.ans, err = f.lookAtOwner(ctx, fk, fl, owner)
		}
		return err
	})
	s.mu.Lock()
	if s.running[fk] == fl {
		delete(s.running, fk)
	}
	fl.ended = true
	fl.letGo()
	s.mu.Unlock()
	close(fl.done)
}

// lookAsOwner asks the store, keeps the head and puts the first chunk into memory.
func (f *Filler) lookAsOwner(ctx context.Context, fk flightKey, fl *flight) (answer, error) {
	k := fk.key
	a, err := f.fromStore(ctx, k, fk.want, fl.user, fk.want == withBytes && f.nearHasFirst(ctx, k))
	if err != nil {
		return answer{}, err
	}
	if a.first.IsHere() && f.heads.Must(k, int64(len(a.first.View)) == min(a.Head.Size, f.size), "a first chunk is as long as its head says") {
		f.chunks.Keep(f.chunks.Of(k, a.Head, 0), a.first.View)
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
	if f.heads.Unsettled(owner.ID) { // it gives no head, but chunks
		return f.fromStore(ctx, k, w, fl.user, w == withBytes)
	}
	a, lease, err := f.askHead(ctx, owner, k, w)
	if errors.Is(err, chunks.ErrOwnerSays) {
		return answer{}, err
	}
	if err != nil {
		f.log.Debug().Err(err).Str("peer", owner.Name).Msg("owner gave no head, reading the store")
		return f.fromStore(ctx, k, w, fl.user, false)
	}
	a.kept = f.keepLeased(k, fl.began, a, lease)
	return a, nil
}

// fresh asks the store for this caller alone. An owner keeps the answer; any
// other node forgets what it held, which can only be as new or older.
func (f *Filler) fresh(ctx context.Context, k keys.Key, w want, user string, owner chunks.Owner) (a answer, err error) {
	err = f.chunks.Bounded(ctx, k, func(ctx context.Context) error {
		if owner.Self {
			fk := flightKey{key: k, asOwner: true, want: w}
			a, err = f.lookAsOwner(ctx, fk, &flight{began: f.heads.Now(k), user: user})
			return err
		}
		if a, err = f.fromStore(ctx, k, w, user, false); err == nil {
			f.heads.Forget(k)
			f.heads.Remember(k, a.Known)
		}
		return err
	})
	return a, err
}

// fromStore asks the store, once more if the object's moment came meanwhile: it may have
// been replaced before that, so only who asks after its moment knows that nothing is there.
func (f *Filler) fromStore(ctx context.Context, k keys.Key, w want, user string, near bool) (answer, error) {
	for {
		asked := time.Now()
		a, err := f.askStore(ctx, k, w, user, near)
		if err != nil || !a.Expired.After(asked) {
			return a, err
		}
	}
}

// askStore asks the store: for the head, and in the same request for the first
// chunk if that is wanted. Absence is an answer, and what has expired is absent.
//
// A node that may hold the first chunk asks for the head alone, and compares more than
// the ETag: a read under the condition of an ETag, If-None-Match, would be answered 304
// for other bytes of the same MD5 too. If a member near may hold it, the chunk is left to
// the caller.
func (f *Filler) askStore(ctx context.Context, k keys.Key, w want, user string, near bool) (a answer, err error) {
	a.Source = chunks.S3
	mayHold := w == withBytes && f.mayHoldFirst(k)
	if w == headOnly || mayHold || near {
		a.Head, err = f.store.Head(ctx, k.Place())
	}
	if w == withBytes && err == nil && !near && (!mayHold || !f.chunks.Has(f.chunks.Of(k, a.Head, 0))) {
		a.Head, a.first, err = f.chunks.ReadFirst(ctx, k, user)
	}
	if err == nil {
		if a.Known = heads.Of(a.Head, time.Now()); a.Absent {
			a.first.Close()
			a.first = chunks.Data{}
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		a, err = answer{Known: heads.Known{Absent: true, Archived: errors.Is(err, store.ErrArchived)}, Source: chunks.S3}, nil
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
	if h := is.Head; !is.Absent && h.Foreign() {
		f.foreign.Warn().Stringer("key", k).Str("version", h.Version).
			Msg("object without what Larder writes beside it: another tool wrote it, or S3 has lost its metadata")
	}
}

// mayHoldFirst reports whether this node has the first chunk of the version that it heard
// of last, or on its disk of some version.
func (f *Filler) mayHoldFirst(k keys.Key) bool {
	last, ok := f.heads.Last(k)
	return ok && f.chunks.Has(f.chunks.Of(k, last, 0)) || f.chunks.MayHaveFirst(k)
}

// nearHasFirst reports whether a member that may have owned a key before has the first
// chunk of some version of it, so that it can be asked for that once the store has told
// which is the newest. If this node has one itself, nobody is asked.
func (f *Filler) nearHasFirst(ctx context.Context, k keys.Key) bool {
	if f.mayHoldFirst(k) {
		return false
	}
	return f.chunks.AskNear(ctx, k.Hash(), cluster.Question{Route: hasRoute, Text: k.Place()},
		func(cluster.Member, cluster.Answer) bool { return true })
}

// handleHas answers nearHasFirst of a member that owns a key now.
func (f *Filler) handleHas(_ context.Context, asked cluster.Asked) cluster.Answer {
	k, err := keys.FromPlace(asked.Text)
	if err == nil && !f.mayHoldFirst(k) {
		err = chunks.ErrNotHeld
	}
	if err != nil {
		return chunks.Refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK}
}
