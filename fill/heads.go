package fill

import (
	"sync"
	"time"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

const headShards = 256

// heads is the table of what this node knows of keys now.
type heads struct {
	shards [headShards]shard
}

// shard is one part of the table, by the key's hash.
//
// Every drop of a key raises the shard's generation. A lookup notes the
// generation when it starts and keeps its answer only if it is still the same
// when it ends; a caller joins a lookup only if it is the same. So:
//
//	lookup: asks the store, is told v1
//	                                     owner: revokes k here, drop raises the generation
//	                                     owner: uploads v2, acknowledges
//	lookup: generation differs, v1 is not kept
//	reader: asks after the acknowledgement, does not join, asks again, gets v2
//
// One counter for many keys costs a few needless lookups and no memory.
type shard struct {
	mu      sync.Mutex // guards all below
	max     int
	lease   time.Duration
	gen     uint64
	entries map[keys.Key]entry
	flights map[flightKey]*flight
	// unsettled holds the keys which the store may change at any moment: those
	// being written here, and those whose write ended without a known outcome,
	// until the store can no longer complete it. No lookup of one is kept or
	// joined.
	unsettled map[keys.Key]time.Time
}

// entry is a head under a lease.
type entry struct {
	known
	until time.Time // trusted before this, not after
	owned bool      // as the key's owner, against the store; otherwise as the owner granted it
}

// untilEnd stands for the end of a write that is under way.
const untilEnd = 24 * time.Hour

func newHeads(limit int, lease time.Duration) *heads {
	h := &heads{}
	for i := range h.shards {
		h.shards[i] = shard{
			max:       max(1, limit/headShards),
			lease:     lease,
			entries:   map[keys.Key]entry{},
			flights:   map[flightKey]*flight{},
			unsettled: map[keys.Key]time.Time{},
		}
	}
	return h
}

// maxHeads gives heads a sixteenth of the memory budget, at half a kilobyte each.
func maxHeads(memory int64) int {
	return int(min(max(memory/16/512, 4*headShards), 1<<20))
}

func (h *heads) of(k keys.Key) *shard { return &h.shards[k.Hash()%headShards] }

// live returns the entry of k if its lease runs. The caller holds mu.
func (s *shard) live(k keys.Key, now time.Time) (entry, bool) {
	e, ok := s.entries[k]
	if ok && !now.Before(e.until) {
		delete(s.entries, k)
		return entry{}, false
	}
	return e, ok
}

// keep stores an answer that a lookup began at generation gen has found.
func (s *shard) keep(k keys.Key, gen uint64, e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen && !s.isUnsettled(k, time.Now()) {
		s.put(k, e)
	}
}

// isUnsettled says whether the store may change k at any moment. The caller holds mu.
func (s *shard) isUnsettled(k keys.Key, now time.Time) bool {
	until, ok := s.unsettled[k]
	return ok && now.Before(until)
}

// unsettle marks k, and forgets the marks that are over. The caller holds mu.
func (s *shard) unsettle(k keys.Key, now time.Time, d time.Duration) {
	for other, until := range s.unsettled {
		if !now.Before(until) {
			delete(s.unsettled, other)
		}
	}
	s.unsettled[k] = now.Add(d)
}

// put stores an entry, at the cost of another if the shard is full: of a few,
// the one whose lease ends first. The caller holds mu.
func (s *shard) put(k keys.Key, e entry) {
	if s.max == 0 {
		return
	}
	if _, there := s.entries[k]; !there && len(s.entries) >= s.max {
		var victim keys.Key
		var ends time.Time
		seen := 0
		for other, o := range s.entries {
			if seen == 0 || o.until.Before(ends) {
				victim, ends = other, o.until
			}
			if seen++; seen == 8 {
				break
			}
		}
		delete(s.entries, victim)
	}
	s.entries[k] = e
}

// drop forgets k, and makes lookups of it that are under way useless to later callers.
// The caller holds mu.
func (s *shard) drop(k keys.Key) {
	s.gen++
	delete(s.entries, k)
}

// Drop forgets the head of k because another node is about to write it. When
// it returns, no read that starts here later is answered from what was known
// before. It acknowledges a revocation.
func (f *Filler) Drop(k keys.Key) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(k)
}

// dropVersion forgets the head of k if it is this version, which the store
// says is gone.
func (f *Filler) dropVersion(k keys.Key, version string) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[k]; ok && e.Head.Version == version {
		s.drop(k)
	}
}

// BeginWrite forgets the head of k and keeps this node from trusting or
// granting one until EndWrite. Writes of one key take turns, which is the
// caller's duty. It says whether k was known, under a live lease, to be there.
func (f *Filler) BeginWrite(k keys.Key) (present bool) {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e, known := s.live(k, now)
	s.drop(k)
	s.unsettle(k, now, untilEnd)
	return known && !e.Absent
}

// Outcome of a write, for EndWrite. The zero Outcome is a write that did not
// reach the store, or was refused by it.
type Outcome struct {
	// Unknown says that the store may still complete the write.
	Unknown bool
	// Done says that the write happened; then Head, or Absent, is what is there.
	Done   bool
	Head   store.Head
	Absent bool
	// Asked is when the store was asked.
	Asked time.Time
}

// EndWrite ends what BeginWrite began. A write that happened is published: it
// is this node's head of k, if the node owns k. Lookups that began during the
// write are neither kept nor joined, since they may have seen the store before
// it. After an unknown outcome no head of k is trusted for the time that the
// store may take to complete it.
func (f *Filler) EndWrite(k keys.Key, o Outcome) {
	_, self := f.ring.Owner(k.Hash())
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(k)
	delete(s.unsettled, k)
	switch {
	case o.Unknown:
		s.unsettle(k, time.Now(), f.cfg.Revalidate)
	case o.Done && self:
		until := o.Asked.Add(f.cfg.Revalidate)
		s.put(k, entry{known: known{Head: o.Head, Absent: o.Absent}, until: until, owned: true})
	}
}

// Forget drops every head, and keeps none from now on: the node is about to
// leave, and will not be told of writes any more.
func (f *Filler) Forget() {
	for i := range f.heads.shards {
		s := &f.heads.shards[i]
		s.mu.Lock()
		s.gen++
		s.max = 0
		clear(s.entries)
		s.mu.Unlock()
	}
}

// RingChanged takes in that these are the members now. The node forgets the
// heads that it owned and no longer owns. When a member has come, it forgets
// all: the newcomer may have been alone until now, or part of another half of
// the cluster, and have written without telling this node. Lookups that began
// under the old ring are not kept.
func (f *Filler) RingChanged(members []cluster.Member) {
	now := make(map[string]bool, len(members))
	came := false
	for _, m := range members {
		now[m.ID] = true
		came = came || !f.members[m.ID]
	}
	f.members = now
	for i := range f.heads.shards {
		s := &f.heads.shards[i]
		s.mu.Lock()
		s.gen++
		for k, e := range s.entries {
			if _, self := f.ring.Owner(k.Hash()); came || e.owned && !self {
				delete(s.entries, k)
			}
		}
		s.mu.Unlock()
	}
}

// grant gives a lease on the head of k to another node, if this node has one
// to give: how long it may be trusted from the moment it was asked for.
func (f *Filler) grant(k keys.Key, version string, absent bool) time.Duration {
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e, ok := s.live(k, now)
	if !ok || !e.owned || e.Absent != absent || e.Head.Version != version {
		return 0
	}
	return min(f.cfg.Lease, e.until.Sub(now))
}

func (h *heads) count() (n int64) {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		n += int64(len(s.entries))
		s.mu.Unlock()
	}
	return n
}
