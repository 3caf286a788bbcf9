package heads

import (
	"context"
	"errors"
	"fmt"
	"time"

	"larder/keys"
	"larder/store"
)

var (
	// ErrNotOwner says that a write has not reached the store and will not: it
	// belongs to another node.
	ErrNotOwner = errors.New("not the owner of the key")
	// ErrAbandoned says that a write has not reached the store and will not, since
	// nobody waits for it. A caller who does, after all, tries again.
	ErrAbandoned = fmt.Errorf("nobody is known to wait for the write: %w", ErrNotOwner)
)

// sendWithin is how soon an upload begins once every lease has ended. A process
// that was stopped in between starts anew: it may have been taken for dead, and its
// keys have other owners.
const sendWithin = time.Second

// queue is the writers of one key. Its shard's mu guards it.
type queue struct {
	token    chan struct{} // holds one element while somebody has the turn
	writers  int           // that have the turn or wait for it
	writing  bool          // the writer that has the turn has begun to write
	gaveWay  bool          // the writer that has the turn was revoked before it reached the store
	uploaded chan struct{} // not nil while the store is being changed; then closed
}

// Turn is the turn of one write at its key. The caller who got it from Begin ends it
// with End.
type Turn struct {
	// Began is the begin: no lease is granted from here on.
	Began time.Time
	// Last is the head that this node heard of last, live or stale; zero if of none.
	Last store.Head
	// Present says that the key was known, under a live lease, to be there.
	Present bool

	table     *Table
	key       keys.Key
	queue     *queue
	abandoned func() bool
	granted   bool      // a lease may run that this node has granted
	asked     time.Time // when the store was, or just before
	changed   uint64    // the shard's, at the begin
}

// Begin waits until nobody else writes k here, and begins a write of it. abandoned
// reports whether nobody waits for the write any more; it may be nil. The errors are
// ErrNotOwner, ErrAbandoned, and that of ctx: nothing was begun.
//
// Rule 8: writes of one key take turns, and one that is abandoned when its turn comes
// is not done.
func (t *Table) Begin(ctx context.Context, k keys.Key, abandoned func() bool) (*Turn, error) {
	s := t.of(k)
	q, err := t.join(s, k)
	if err != nil {
		return nil, err
	}
	select {
	case q.token <- struct{}{}:
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		t.leave(s, k, q)
		return nil, fmt.Errorf("wait for the writers of %s: %w", k, ctx.Err())
	}
	return t.begun(s, k, q, abandoned)
}

// BeginNow is Begin of a write that waits for nobody: if somebody else writes k here, or
// waits to, the Turn is nil without an error, and nothing was begun. Whoever holds many
// turns at once takes them so, and never waits for one while others wait for him.
func (t *Table) BeginNow(k keys.Key, abandoned func() bool) (*Turn, error) {
	s := t.of(k)
	q, err := t.join(s, k)
	if err != nil {
		return nil, err
	}
	select {
	case q.token <- struct{}{}:
		return t.begun(s, k, q, abandoned)
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		t.leave(s, k, q)
		return nil, nil //nolint:nilnil // somebody else has the turn
	}
}

// begun begins a write whose turn it is.
func (t *Table) begun(s *shard, k keys.Key, q *queue, abandoned func() bool) (*Turn, error) {
	w := &Turn{table: t, key: k, queue: q, abandoned: abandoned}
	err := w.still() // the ring may have changed while this write waited for its turn
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		w.pass(s)
		return nil, err
	}
	if !t.must(s, k, !q.writing && q.uploaded == nil, "one write of a key at a time") {
		<-q.token
		t.leave(s, k, q)
		return nil, ErrNotOwner
	}
	w.begin(s)
	return w, nil
}

// join counts a writer in.
func (t *Table) join(s *shard, k keys.Key) (*queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrNotOwner
	}
	q := s.queues[k]
	if q == nil {
		q = &queue{token: make(chan struct{}, 1)}
		s.queues[k] = q
	}
	q.writers++
	t.writing.Add(1)
	return q, nil
}

// leave counts a writer out. The caller holds the shard's mu.
func (t *Table) leave(s *shard, k keys.Key, q *queue) {
	t.must(s, k, q.writers > 0 && s.queues[k] == q, "a writer who leaves was counted in")
	t.writing.Done()
	if q.writers--; q.writers == 0 {
		delete(s.queues, k)
	}
}

// pass hands the turn on. The caller holds the shard's mu.
func (w *Turn) pass(s *shard) {
	q := w.queue
	if q.uploaded != nil {
		close(q.uploaded)
	}
	q.uploaded, q.gaveWay, q.writing = nil, false, false
	select {
	case <-q.token:
	default:
		w.table.must(s, w.key, false, "who has the turn holds its token")
	}
	w.table.leave(s, w.key, q)
}

// still reports what has become of a write in the meantime: nil, ErrNotOwner or
// ErrAbandoned.
func (w *Turn) still() error {
	if _, self := w.table.cluster.Owner(w.key.Hash()); !self {
		return ErrNotOwner
	}
	if w.abandoned != nil && w.abandoned() {
		return ErrAbandoned
	}
	return nil
}

// begin begins. The caller holds the shard's mu.
//
// Rule 9: the head is dropped, and nothing is trusted or granted until the end.
func (w *Turn) begin(s *shard) {
	now := time.Now()
	e, live := s.live(w.key, now)
	if heard := s.entries.get(w.key); heard != nil {
		w.Last = s.entries.unpack(heard).Head
	}
	w.Present = live && !e.Absent
	s.drop(w.key)
	w.queue.writing = true
	w.Began, w.changed = now, s.changed
	w.granted = s.grants.mayRun(w.key, now, Outlasts(w.table.cfg.Lease))
	w.table.trace(Event{Kind: Began, Key: w.key})
}

// Upload marks the key as being changed in the store, which the caller does next.
// revoked is when every lease on it had ended. The errors are those of Begin.
//
// Rule 12: a member that settles with this node after the mark waits for the upload, and
// one that did before is in the ring already; so the owner is looked up again after it. A
// process that was stopped since the revocation begins anew.
func (w *Turn) Upload(revoked time.Time) error {
	if wrote := &w.table.settling.wrote; !wrote.Load() {
		wrote.Store(true) // before the owner is looked up (vouching)
	}
	if !w.mark(revoked) {
		return ErrNotOwner // another node is writing k: it has revoked it here
	}
	w.asked = revoked
	if time.Since(revoked) > sendWithin {
		return ErrNotOwner
	}
	return w.still()
}

// mark marks the upload, unless the write was told to give way.
func (w *Turn) mark(revoked time.Time) bool {
	s := w.table.of(w.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.queue.gaveWay {
		return false
	}
	if _, live := s.live(w.key, time.Now()); !w.table.must(s, w.key, !live, "no head is live when an upload begins") ||
		!w.table.must(s, w.key, w.queue.writing && w.queue.uploaded == nil, "an upload follows a begin, once") ||
		!w.table.must(s, w.key, !revoked.Before(w.Began), "a revocation follows the begin") {
		return false
	}
	w.queue.uploaded = make(chan struct{})
	w.table.trace(Event{Kind: Marked, Key: w.key})
	return true
}

// Outcome of a write. The zero Outcome is a write that did not reach the store, or
// was refused by it.
type Outcome struct {
	// Unknown says that the store may still complete the write.
	Unknown bool
	// Done says that the write happened; then Known is what is there.
	Done bool
	Known
}

// End ends a turn. Lookups that began during the write are not kept, since they may
// have seen the store before it. After an unknown outcome no head of the key is
// trusted for the time that the store may take to complete it.
func (w *Turn) End(o Outcome) {
	s := w.table.of(w.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(w.key)
	t, sent := w.table, w.queue.uploaded != nil
	switch {
	case !t.must(s, w.key, w.queue.writing, "an end follows a begin"):
	case !t.must(s, w.key, sent || !o.Unknown && !o.Done, "nothing is written without a mark"):
	case o.Unknown:
		t.markUnknown(s, w.key)
		t.trace(Event{Kind: Unsure, Key: w.key, Until: s.unknown[w.key]})
	case o.Done:
		t.trace(Event{Kind: Done, Key: w.key, Known: o.Known})
		w.publish(s, o.Known)
	default:
		t.trace(Event{Kind: Undone, Key: w.key})
	}
	w.pass(s)
}

// publish makes what was written this node's head of the key. The caller holds the
// shard's mu.
//
// Rule 14: it is trusted only if this node is still the owner, with nobody unsettled,
// and neither have the members changed nor settled since the begin, nor was the key
// marked then.
func (w *Turn) publish(s *shard, is Known) {
	if !w.table.mayOwn(w.key.Hash()) || w.changed != s.changed || s.isUnknown(w.key, w.Began) {
		s.remember(w.key, is)
		return
	}
	now := time.Now()
	e := entry{Known: is, until: is.within(w.asked.Add(w.table.cfg.Revalidate)), used: now, owned: true}
	if w.table.must(s, w.key, !w.asked.Before(w.Began), "what is published was asked for after the begin") &&
		w.table.must(s, w.key, is.Absent || is.Head.Version != "", "what is published has a version") && s.put(w.key, e) {
		w.table.trace(Event{Kind: Published, Key: w.key, Known: is, Owned: true, Until: e.until})
	}
}

// giveWay drops the head of k, which another node is writing, and tells a writer here so.
// If the writer is changing the store already, nothing is dropped, and the channel is
// closed when that is over.
func (t *Table) giveWay(k keys.Key, to string) (uploaded <-chan struct{}) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[k]; q != nil {
		if q.uploaded != nil {
			t.must(s, k, q.writing, "an upload is part of a write")
			return q.uploaded
		}
		q.gaveWay = true
	}
	s.drop(k)
	t.trace(Event{Kind: Dropped, Key: k})
	t.trace(Event{Kind: Revoked, Key: k, Peer: to})
	return nil
}

// uploads returns, for each key whose writer is changing the store, the channel
// that is closed when that is over.
func (t *Table) uploads() (under []<-chan struct{}) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, q := range s.queues {
			if q.uploaded != nil {
				under = append(under, q.uploaded)
			}
		}
		s.mu.Unlock()
	}
	return under
}

// Retire ends this node's part in the protocol: the cluster can be left when it
// returns. If ctx ends before the writes have, that is an error, and the heads are
// forgotten all the same.
//
// Rule 18: no write is taken any more, and those under way are waited for, since the
// next owner must not write while this one does; then every head is forgotten and
// none kept, since nobody tells this node of writes any more.
func (t *Table) Retire(ctx context.Context) (err error) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
	}
	idle := make(chan struct{})
	go func() { t.writing.Wait(); close(idle) }() // ends: every write is bounded
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("wait for writes under way: %w", ctx.Err())
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.gen++
		s.max = 0
		s.entries.clear()
		s.mu.Unlock()
	}
	t.trace(Event{Kind: Retired})
	return err
}
