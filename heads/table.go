package heads

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"larder/keys"
	"larder/store"
)

// Known is what can be known of a key: a head, or that there is none.
type Known struct {
	Head   store.Head
	Absent bool
	// Archived says why it is absent: its bytes cannot be read.
	Archived bool `json:",omitempty"`
	// Expired, of what is absent, is the moment at which it expired; zero if it did not.
	// Head is then what the store still holds, if it does.
	Expired time.Time `json:",omitzero"`
	// Ends is when the object's moment comes, by this node's monotonic clock; zero if
	// it does not expire. It does not travel.
	Ends time.Time `json:"-"`
}

// Config of a Table.
type Config struct {
	// Memory is how many bytes the heads may take, at a quarter of a kilobyte each.
	Memory int64
	// Lease is the longest that a node trusts a head that the key's owner granted.
	Lease time.Duration
	// Revalidate is how long an owner trusts a head without asking the store.
	Revalidate time.Duration
	// Trace hears of every event. It may be nil, must return soon, and must not call
	// the Table.
	Trace func(Event)
	// WasAway hears that this node was taken for dead and did not notice. It may be nil.
	WasAway func()
	Log     zerolog.Logger
}

// Table is what this node knows of keys now. Make one with New.
type Table struct {
	cfg      Config
	cluster  Cluster
	shards   [shards]shard
	settling settling
	// unsettled are the unsettled members, by ID. The map is never changed, but
	// replaced by another, under settling's mu.
	unsettled atomic.Pointer[map[string]member]
	calm      atomic.Pointer[calm]
	writing   sync.WaitGroup // writers that hold a turn or wait for one
	counts    counts
	log       zerolog.Logger
	// invariants is where broken ones are logged: ten a minute.
	invariants zerolog.Logger
}

const shards = 256

// shard is one part of the table, by the key's hash.
//
// Every drop of a key raises the shard's generation. A lookup notes the
// generation when it starts and keeps its answer only if it is still the same
// when it ends. So:
//
//	lookup: asks the store, is told v1
//	                                     owner: revokes k here, drop raises the generation
//	                                     owner: uploads v2, acknowledges
//	lookup: generation differs, v1 is not kept
//	reader: asks again, gets v2
//
// One counter for many keys costs a few needless lookups and no memory.
type shard struct {
	mu      sync.Mutex // guards all below; settling's mu is taken before it, if both are
	max     int
	gen     uint64
	changed uint64 // how often the members have changed, or settled
	entries entries
	queues  map[keys.Key]*queue // of the writers here
	closed  bool                // no writer is let in any more
	// unknown are the keys whose write ended without a known outcome, each until the
	// store can no longer complete it.
	unknown map[keys.Key]time.Time
	grants  grants
}

// entry is a head under a lease. One whose lease has ended, or that was dropped,
// is stale: never an answer, it only says whose bytes memory may hold.
type entry struct {
	Known
	until time.Time // trusted before this, not after
	used  time.Time // last
	owned bool      // as the key's owner, against the store; otherwise as the owner granted it
}

// evictAmong is how many heads are looked at to find one that was not used for
// long: the least recently used of a few is nearly that of all (Redis does so).
const evictAmong = 8

// New makes a Table.
func New(cfg Config, c Cluster) *Table {
	t := &Table{
		cfg:      cfg,
		cluster:  c,
		settling: settling{met: map[string]bool{}, kick: make(chan struct{}, 1)},
		log:      cfg.Log.With().Str("component", "heads").Logger(),
	}
	t.invariants = t.log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Minute})
	t.unsettled.Store(&map[string]member{})
	t.calm.Store(&calm{since: time.Now()})
	began := base{time.Now()}
	for i := range t.shards {
		t.shards[i] = shard{
			max:     headsPerShard(cfg.Memory),
			entries: newEntries(began),
			queues:  map[keys.Key]*queue{},
			unknown: map[keys.Key]time.Time{},
			grants:  newGrants(),
		}
	}
	return t
}

// headsPerShard is how many heads there is memory for, and beside a small tier some
// megabytes: a chunk without its head is of no use, and small chunks are many.
func headsPerShard(memory int64) int {
	return int(min(max(memory/256, 64*shards), 1<<20)) / shards
}

// Resize sets how many bytes the heads may take. Those that there is no memory for any
// more are forgotten, as if they had never been asked for.
func (t *Table) Resize(memory int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if s.max > 0 { // else the node has retired
			s.resize(headsPerShard(memory))
		}
		s.mu.Unlock()
	}
}

// resize is Resize for one shard. The caller holds mu.
func (s *shard) resize(most int) {
	s.max = most
	if len(s.entries.byKey) <= most {
		return
	}
	now := time.Now()
	for len(s.entries.byKey) > most {
		s.evict(now)
	}
	s.entries.shrink()
}

func (t *Table) of(k keys.Key) *shard { return &t.shards[k.Hash()%shards] }

// Moment is when somebody asked for a head: the time, and what had been dropped
// until then.
type Moment struct {
	At  time.Time
	gen uint64
}

// Undisturbed reports whether no drop of the key, nor of one that shares its shard,
// came between two moments of it.
func (m Moment) Undisturbed(other Moment) bool { return m.gen == other.gen }

// Get returns what is known of k, if that is live, and the moment of asking.
//
// Rule 1: a live head is the answer, and no other is.
func (t *Table) Get(k keys.Key) (is Known, live bool, now Moment) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now = Moment{At: time.Now(), gen: s.gen} // under the lock: no head that is found here is from later
	e, live := s.live(k, now.At)
	if !live || !t.isSound(s, k, e, now.At) {
		now.gen = s.gen
		return Known{}, false, now
	}
	if t.cfg.Trace != nil {
		t.trace(Event{Kind: Hit, Key: k, Known: e.Known, Asked: now.At})
	}
	return e.Known, true, now
}

// live returns the entry of k if its lease runs. The caller holds mu.
func (s *shard) live(k keys.Key, now time.Time) (entry, bool) {
	p := s.entries.get(k)
	if p == nil || p.resting || s.entries.since(now) >= p.until {
		return entry{}, false
	}
	p.used = s.entries.ticks(now)
	return s.entries.unpack(p), true
}

// Now is the moment at which somebody asks for k past what is known.
func (t *Table) Now(k keys.Key) Moment {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return Moment{At: time.Now(), gen: s.gen}
}

// KeepOwned keeps what the store said when it was asked at that moment, and reports
// whether that is good now: then whoever asked before this moment may have it.
//
// Rule 5: it is trusted for the time of revalidation, from the moment of asking, and
// not past the object's moment.
func (t *Table) KeepOwned(k keys.Key, asked Moment, is Known) bool {
	return t.keep(k, asked, entry{Known: is, until: asked.At.Add(t.cfg.Revalidate), owned: true})
}

// KeepLease keeps what the owner said that was asked at that moment, and granted a
// lease on. It reports what KeepOwned does.
func (t *Table) KeepLease(k keys.Key, asked Moment, is Known, lease time.Duration) bool {
	return t.keep(k, asked, entry{Known: is, until: asked.At.Add(min(lease, t.cfg.Lease))})
}

// keep stores an answer, if it may be trusted.
//
// Rule 4: nothing was dropped since the asking, the key was and is not barred, and
// the lease, which counts from the asking, has not ended. No head outlasts its object, and
// a node that has retired keeps none.
func (t *Table) keep(k keys.Key, asked Moment, e entry) bool {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.used, e.until = time.Now(), e.within(e.until)
	if s.max == 0 || s.gen != asked.gen || s.barred(k, asked.At) || !e.used.Before(e.until) || e.owned && !t.mayOwn(k.Hash()) {
		return false
	}
	if !t.must(s, k, !asked.At.After(e.used), "an answer comes after its question") || !t.isSound(s, k, e, e.used) || !s.put(k, e) {
		return false
	}
	t.must(s, k, len(s.entries.byKey) <= s.max, "no more heads than there is memory for")
	t.trace(Event{Kind: Kept, Key: k, Known: e.Known, Owned: e.owned, Asked: asked.At, Until: e.until})
	return true
}

// owns reports whether this node is the owner of the key of this hash.
func (t *Table) owns(hash uint64) bool {
	_, self := t.cluster.Owner(hash)
	return self
}

// mayOwn reports whether this node may trust the store's answer as the owner of the key
// of this hash: not while there are unsettled members.
func (t *Table) mayOwn(hash uint64) bool { return t.owns(hash) && t.Settled() }

// barred reports whether no head of k that was asked for at that moment may be
// trusted. The caller holds mu.
//
// Rule 7: the key is being written here, or a write of unknown outcome could still
// change it after that moment.
func (s *shard) barred(k keys.Key, asked time.Time) bool {
	q := s.queues[k]
	return q != nil && q.writing || s.isUnknown(k, asked)
}

// isUnknown reports whether a write of unknown outcome could still change k after
// that moment. The caller holds mu.
func (s *shard) isUnknown(k keys.Key, at time.Time) bool {
	until, ok := s.unknown[k]
	return ok && at.Before(until)
}

// markUnknown marks k for the time of revalidation, and forgets the marks that are over. The caller
// holds mu.
//
// Rule 13: no other write takes the mark away, and it stays long enough for the
// lookups and writes that began under it to see that.
func (t *Table) markUnknown(s *shard, k keys.Key) {
	d := t.cfg.Revalidate
	now := time.Now()
	t.must(s, k, !s.unknown[k].After(now.Add(d)), "the mark of an unknown outcome is never shortened")
	for other, until := range s.unknown {
		if now.After(until.Add(d)) { // longer than a lookup or a write that began under the mark
			delete(s.unknown, other)
		}
	}
	s.unknown[k] = now.Add(d)
}

// put stores an entry, at the cost of another if the shard is full: of a few,
// the one that was not used for longest, and sooner one whose lease has ended.
// The caller holds mu.
func (s *shard) put(k keys.Key, e entry) bool {
	if s.max == 0 {
		return false
	}
	if s.entries.get(k) == nil && len(s.entries.byKey) >= s.max {
		s.evict(e.used)
	}
	s.entries.set(k, e)
	return true
}

// evict forgets one head. The caller holds mu.
func (s *shard) evict(now time.Time) {
	var victim [16]byte
	var since int32
	seen := 0
	for other, p := range s.entries.byKey { // in an order that is drawn anew each time
		used := p.used
		if s.entries.since(now) >= p.until {
			used = math.MinInt32
		}
		if seen == 0 || used < since {
			victim, since = other, used
		}
		if seen++; seen == evictAmong {
			break
		}
	}
	delete(s.entries.byKey, victim)
}

// Grant gives a member a lease on the head of k, if this node has one to give: what
// is known now, and for how long that may be trusted from the moment it was asked for.
//
// Rule 6: only on a live head that this node holds as the key's owner, for at most
// what is left of it, and only to a member: nobody else would be told of a write.
func (t *Table) Grant(k keys.Key, to string) (Known, time.Duration) {
	if _, ok := t.cluster.Member(to); !ok {
		return Known{}, 0
	}
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, now, ok := t.owned(s, k)
	if !ok || !t.must(s, k, to != t.cluster.Self().ID, "no node is granted a lease by itself") ||
		!t.must(s, k, !s.barred(k, now), "no lease is granted on a key that is written, or may be yet") {
		return Known{}, 0
	}
	lease := min(t.cfg.Lease, e.until.Sub(now))
	s.grants.note(k, now, Outlasts(t.cfg.Lease))
	t.counts.granted.Add(1)
	t.trace(Event{Kind: Granted, Key: k, Peer: to, Known: e.Known, Asked: now, Until: now.Add(lease)})
	return e.Known, lease
}

// Owned returns the live head of k that this node holds as the key's owner.
func (t *Table) Owned(k keys.Key) (is Known, ok bool) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _, ok := t.owned(s, k)
	return e.Known, ok
}

// owned returns the entry of k that this node holds as the key's owner, if that is
// live now. The caller holds the shard's mu.
func (t *Table) owned(s *shard, k keys.Key) (e entry, now time.Time, ok bool) {
	now = time.Now()
	e, live := s.live(k, now)
	if !live || !e.owned || !t.isSound(s, k, e, now) {
		return entry{}, now, false
	}
	return e, now, true
}

// Drop forgets the head of k, and makes lookups of it that are under way useless to
// later callers. When it returns, no read that starts here later is answered from
// what was known before.
func (t *Table) Drop(k keys.Key) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(k)
	t.trace(Event{Kind: Dropped, Key: k})
}

// DropVersion drops the head of k if it is this version, which the store says is gone.
func (t *Table) DropVersion(k keys.Key, version keys.Version) {
	s := t.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.entries.get(k)
	if p == nil {
		return
	}
	if h := s.entries.unpack(p).Head; (keys.Version{ETag: h.Version, Write: h.WriteName()}) == version {
		s.gen++
		s.entries.remove(k)
		t.trace(Event{Kind: Dropped, Key: k})
	}
}

// drop is Drop for a caller who holds mu.
func (s *shard) drop(k keys.Key) {
	s.gen++
	s.forget(k)
}
