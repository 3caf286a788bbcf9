package fill

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// Store is what reads need of the durable store.
type Store = chunks.Store

// Ring is what reads need of the cluster.
type Ring = chunks.Ring

// Config of a Filler.
type Config = chunks.Config

// Filler answers reads. Make one with New.
type Filler struct {
	size    int64 // of a chunk
	store   Store
	ring    Ring
	heads   *heads.Table
	chunks  *chunks.Chunks
	lookups lookups
	flights sync.WaitGroup
	audits  audits
	log     zerolog.Logger
	foreign zerolog.Logger // one line a minute
}

// New makes a Filler. The groupcache group that it registers lives as long as
// the process, since groupcache cannot forget one.
func New(cfg Config, st Store, table *heads.Table, ring Ring) (*Filler, error) {
	cfg.Log = cfg.Log.With().Str("component", "fill").Logger()
	c, err := chunks.New(cfg, st, table, ring)
	if err != nil {
		return nil, err
	}
	f := &Filler{size: cfg.ChunkSize, store: st, ring: ring, heads: table, chunks: c, log: cfg.Log}
	f.foreign = f.log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	f.lookups.init()
	f.AuditOneIn(auditEvery)
	return f, nil
}

// Answer registers what this node answers to its peers.
func (f *Filler) Answer(handle func(route string, h cluster.Handler)) {
	handle(headRoute, f.handleHead)
	handle(headsRoute, f.handleHeads)
	handle(manyRoute, f.handleMany)
	handle(hasRoute, f.handleHas)
	handle(whereRoute, f.handleWhere)
	f.chunks.Answer(handle)
}

// Prime puts chunk n of a version that was just written into the memory of the
// node that owns it, so that nobody reads it from the store. The bytes must not
// change any more.
func (f *Filler) Prime(ctx context.Context, k keys.Key, h store.Head, n int, b []byte) error {
	return f.chunks.Prime(ctx, f.chunks.Of(k, h, n), b)
}

// RingChanged has the members be asked again who may have owned chunks before.
func (f *Filler) RingChanged() { f.chunks.RingChanged() }

// HandOn gives the chunks that this node owns to the members that will own them when it
// has left, within bounds.
func (f *Filler) HandOn(ctx context.Context) error { return f.chunks.HandOn(ctx) }

// InMemory reports whether memory has a chunk that this node owns, by its name.
func (f *Filler) InMemory(name string) bool { return f.chunks.InMemory(name) }

// Stats counts.
func (f *Filler) Stats() Stats {
	return Stats{f.chunks.Stats(), map[Verdict]int64{
		Same: f.audits.same.Load(), Changed: f.audits.changed.Load(), Differs: f.audits.differs.Load(), Failed: f.audits.failed.Load(),
	}}
}

// Stats of what a node holds, and of what it did since it started.
type Stats struct {
	chunks.Stats
	// Audits are the reads under a live head that were compared with the store.
	Audits map[Verdict]int64
}

// Resize has the chunks fit into another plan of the memory.
func (f *Filler) Resize(plan budget.Plan) { f.chunks.Resize(plan) }

// Close waits until every lookup and fetch that is under way has ended. Each is
// bounded.
func (f *Filler) Close() {
	f.flights.Wait()
	f.chunks.Close()
}

// Options of a read.
type Options struct {
	// Fresh asks the store itself, whatever leases say.
	Fresh bool
	// Found is what Gather found out about the key.
	Found Found
	// Lazy opens an object without its first chunk, for a caller who reads parts of it.
	Lazy bool
	// User is whom the memory of the read is charged to. No user holds all of it.
	User string
	// Cut ends the sending of the object from outside, if it may be called: its
	// caller takes less than 16 KiB a second while others wait for memory. It must
	// return at once.
	Cut func()
}

// Open finds the newest version of a key, and its first chunk unless o says
// otherwise. Absence is store.ErrNotFound; budget.ErrBusy says that there is no memory
// for the chunk; store.ErrPrecondition that the version was rewritten, or that its moment
// came, between its head and its bytes, also if Part or Send return it: Open with Fresh
// then gets the new one. The Object stays readable while its version is in
// memory or in the store.
func (f *Filler) Open(ctx context.Context, k keys.Key, o Options) (*Object, error) {
	obj := &Object{filler: f, key: k, user: o.User, cut: o.Cut}
	owner := f.ownerOf(k)
	a, err := f.find(ctx, k, want(!o.Lazy), o, owner)
	if err != nil {
		return nil, err
	}
	obj.Head, obj.known = a.Head, a.Known
	if o.Lazy {
		obj.HeadSource = a.Source
		a.first.Close()
		return obj, nil
	}
	obj.Source = a.Source
	if obj.first = a.first; obj.first.IsHere() {
		return obj, nil
	}
	// The owner of a key owns its first chunk.
	if obj.first, err = f.chunks.Take(ctx, o.User, f.chunks.Of(k, a.Head, 0), &owner); err != nil {
		return nil, err
	}
	// The head may have come from the store while the bytes did not.
	if from := obj.first.Source; obj.Source != chunks.S3 || from == chunks.Disk || owner.Self && from != chunks.Memory {
		obj.Source = obj.first.Source
	}
	if late(obj.known) {
		obj.Close()
		return nil, lateError(k)
	}
	return obj, nil
}

// Ready is an object of one chunk at most that can be sent at once. Its user closes
// its Data.
type Ready struct {
	Head store.Head
	chunks.Data
}

// Ready returns the newest version of a key, if its head is live, and its bytes are one
// chunk that memory has, or the page cache of the disk; or that another node owns, if it
// is so small that no memory is counted for it: that one is asked, as in Open. Otherwise
// it is as if it had not been called. The memory is charged to a user of the key's org.
// Nothing is kept of the key, whose name may be a view of bytes that change later.
func (f *Filler) Ready(k keys.Key, user string) (r Ready, ok bool) {
	is, first, live := f.live(k)
	if !live {
		return Ready{}, false
	}
	owner := f.ownerOf(k)
	if r.Data, ok = f.chunks.AtHand(user, first, owner); !ok {
		if r.Data, ok = f.chunks.FromOwner(first, owner); !ok || late(is) {
			r.Close()
			return Ready{}, false
		}
	}
	r.Head = is.Head
	f.sample(k)
	return r, true
}

// isInMemory reports whether memory has all of a key that Ready needs; for a moment after the ring has
// changed, more than Ready takes. It does not count as a use of it.
func (f *Filler) isInMemory(k keys.Key) bool {
	_, first, live := f.live(k)
	return live && f.chunks.IsInMemory(first)
}

// live is the head of an object of one chunk at most, and that chunk. It is false if the
// head is not live.
func (f *Filler) live(k keys.Key) (is heads.Known, first chunks.Chunk, ok bool) {
	is, live, _ := f.heads.Get(k)
	if !live || is.Absent || is.Head.Size > f.size || late(is) {
		return heads.Known{}, chunks.Chunk{}, false
	}
	return is, f.chunks.Of(k, is.Head, 0), true
}

// answerWithin is how long after an object's moment an answer with it may begin that
// was under way then. It also covers how long the owner's answer took, for which Ends
// is early.
const answerWithin = 500 * time.Millisecond

// late reports whether an answer with the object would come too long after its moment.
// That the key is absent would be wrong too: the object may have been replaced before that
// moment. So it has to be looked up anew.
func late(is heads.Known) bool { return is.IsOver(time.Now().Add(-answerWithin)) }

// lateError says to open a key anew.
func lateError(k keys.Key) error {
	return fmt.Errorf("get %s: its moment came before it could be answered: %w", k, store.ErrPrecondition)
}

// StatHere is Stat if nothing has to be asked, as ok reports.
func (f *Filler) StatHere(k keys.Key) (h store.Head, ok bool, err error) {
	is, live, _ := f.heads.Get(k)
	if !live || late(is) {
		return store.Head{}, false, nil
	}
	return is.Head, true, absence(k, is)
}

// Stat finds the head of a key. Absence is store.ErrNotFound.
func (f *Filler) Stat(ctx context.Context, k keys.Key, o Options) (store.Head, chunks.Source, error) {
	a, err := f.find(ctx, k, headOnly, o, f.ownerOf(k))
	a.first.Close()
	return a.Head, a.Source, err
}

func (f *Filler) ownerOf(k keys.Key) (o chunks.Owner) {
	o.Member, o.Self = f.ring.Owner(k.Hash())
	return o
}

func (f *Filler) find(ctx context.Context, k keys.Key, w want, o Options, owner chunks.Owner) (answer, error) {
	var a answer
	var err error
	switch {
	case o.Fresh:
		a, err = f.fresh(ctx, k, w, o.User, owner)
	case o.Found.told != nil:
		a = *o.Found.told
	default:
		a, err = f.resolve(ctx, k, w, o.User, owner)
	}
	if err != nil {
		return a, err
	}
	if late(a.Known) {
		a.first.Close()
		o.Found = Found{}
		return f.find(ctx, k, w, o, owner)
	}
	return a, absence(k, a.Known)
}

// absence is an error if there is nothing under a key that can be read.
func absence(k keys.Key, is heads.Known) error {
	switch {
	case !is.Absent:
		return nil
	case !is.Expired.IsZero():
		return fmt.Errorf("get %s: %w", k, store.Expired{At: is.Expired})
	case is.Archived:
		return fmt.Errorf("get %s: %w", k, store.ErrArchived)
	}
	return fmt.Errorf("get %s: %w", k, store.ErrNotFound)
}
