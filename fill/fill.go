package fill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// ErrPanic says that a fetch panicked; the panic was logged with its stack.
var ErrPanic = errors.New("internal error during a fetch")

// fetchLimit bounds one fetch, whatever its callers' patience. It is there for
// a store that gives a byte now and then for ever: one that is silent is given
// up by the store's client, and a slow link that many fetches share is no fault.
const fetchLimit = 5 * time.Minute

// Store is what fill needs of the durable store.
type Store interface {
	Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error)
	GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error)
	Head(ctx context.Context, name string) (store.Head, error)
	Sums(ctx context.Context, name string) (store.Sums, error)
}

// Ring is what fill needs of the cluster.
type Ring interface {
	// Owner is the member that the ring gives a hash to, and whether it is this node.
	Owner(hash uint64) (m cluster.Member, self bool)
	// Ask asks one member.
	Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error)
}

// Config of a Filler.
type Config struct {
	// Group names the groupcache group; it must be unique in the process and
	// may differ between nodes.
	Group string
	// Plan says how much memory is for what.
	Plan budget.Plan
	// ChunkSize is in bytes. Nodes of one cluster use the same.
	ChunkSize int64
	// Freed hears how long a chunk that this node owned was in memory, when it is
	// evicted. It may be nil, must return soon, and must not call the Filler.
	Freed func(age time.Duration)
	Log   zerolog.Logger
}

// Filler answers reads. Make one with New.
type Filler struct {
	cfg      Config
	store    Store
	ring     Ring
	heads    *heads.Table
	lookups  lookups
	owned    *owned // the chunks that this node owns
	hot      *hot   // copies of chunks that others own
	lists    *lists // of the digests of chunks
	buffers  buffers
	budgets  budgets
	flights  sync.WaitGroup
	verified verified
	audits   audits
	log      zerolog.Logger
	foreign  zerolog.Logger // one line a minute
}

// New makes a Filler. The groupcache group that it registers lives as long as
// the process, since groupcache cannot forget one.
func New(cfg Config, st Store, table *heads.Table, ring Ring) (*Filler, error) {
	if cfg.ChunkSize <= 0 || cfg.Plan.Tier < 4*cfg.ChunkSize {
		return nil, fmt.Errorf("a tier of %d bytes holds fewer than four chunks of %d bytes", cfg.Plan.Tier, cfg.ChunkSize)
	}
	f := &Filler{
		cfg:     cfg,
		store:   st,
		ring:    ring,
		budgets: newBudgets(cfg.Plan),
		heads:   table,
		buffers: newBuffers(cfg.ChunkSize),
		lists:   newLists(cfg, st),
		log:     cfg.Log.With().Str("component", "fill").Logger(),
	}
	f.foreign = f.log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	f.lookups.init()
	return f, f.divide(cfg.Plan.Tier)
}

// divide makes the two parts of the memory tier.
func (f *Filler) divide(tier int64) (err error) {
	own := tier - tier/hotShare
	if f.hot, err = newHot(func() int64 { return tier - min(own, f.owned.bytes()) }); err != nil {
		return err
	}
	f.owned, err = newOwned(f.cfg, own, f.load, f.hot.fit)
	return err
}

// Close waits until every lookup that is under way has ended. Each is bounded.
func (f *Filler) Close() { f.flights.Wait() }

// Options of a read.
type Options struct {
	// Fresh asks the store itself, whatever leases say.
	Fresh bool
	// Lazy opens an object without its first chunk, for who reads parts of it.
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
// for the chunk; store.ErrPrecondition that the version was rewritten between its
// head and its bytes, also if Part or Send say it: who opens the key again,
// with Fresh, gets the new one. The Object stays readable while its version is in
// memory or in the store.
func (f *Filler) Open(ctx context.Context, k keys.Key, o Options) (*Object, error) {
	if o.Lazy {
		h, source, err := f.Stat(ctx, k, o)
		return &Object{Head: h, HeadSource: source, filler: f, key: k, user: o.User, cut: o.Cut}, err
	}
	a, err := f.find(ctx, k, withBytes, o)
	if err != nil {
		return nil, err
	}
	obj := &Object{Head: a.Head, Source: a.Source, filler: f, key: k, user: o.User, cut: o.Cut}
	obj.first = data{view: a.first, pin: a.pin}
	if a.hasFirst {
		return obj, nil
	}
	if obj.first, err = f.take(ctx, o.User, f.chunkOf(k, a.Head, 0)); err != nil {
		return nil, err
	}
	if obj.Source != S3 {
		obj.Source = obj.first.source
	}
	return obj, nil
}

// Stat finds the head of a key. Absence is store.ErrNotFound.
func (f *Filler) Stat(ctx context.Context, k keys.Key, o Options) (store.Head, Source, error) {
	a, err := f.find(ctx, k, headOnly, o)
	a.pin.release()
	return a.Head, a.Source, err
}

func (f *Filler) find(ctx context.Context, k keys.Key, w want, o Options) (answer, error) {
	var a answer
	var err error
	if o.Fresh {
		a, err = f.fresh(ctx, k, w, o.User)
	} else {
		a, err = f.resolve(ctx, k, w, o.User)
	}
	switch {
	case err != nil || !a.Absent:
	case a.Archived:
		err = fmt.Errorf("get %s: %w", k, store.ErrArchived)
	default:
		err = fmt.Errorf("get %s: %w", k, store.ErrNotFound)
	}
	return a, err
}
