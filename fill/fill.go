package fill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang/groupcache"
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
	// Freed hears how long a chunk was in memory, once the garbage collector
	// finds that it was evicted: of one chunk in sixteen that this node owned.
	// It may be nil, and must return soon.
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
	owned    *groupcache.Group // the chunks that this node owns
	copies   *copies           // of chunks that others own
	lists    *lists            // of the digests of chunks
	pieces   pieces
	budgets  budgets
	flights  sync.WaitGroup
	verified verified
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
		pieces:  newPieces(cfg.ChunkSize),
		lists:   newLists(cfg, st),
		log:     cfg.Log.With().Str("component", "fill").Logger(),
	}
	f.foreign = f.log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	f.lookups.init()
	own := cfg.Plan.Tier - cfg.Plan.Tier/copiesShare
	f.owned = groupcache.NewGroup(cfg.Group, own, groupcache.GetterFunc(f.load))
	f.copies = newCopies(func() int64 {
		return cfg.Plan.Tier - min(own, f.owned.CacheStats(groupcache.MainCache).Bytes)
	})
	return f, nil
}

// Close waits until every lookup that is under way has ended. Each is bounded.
func (f *Filler) Close() { f.flights.Wait() }

// Options of a read.
type Options struct {
	// Fresh asks the store itself, whatever leases say.
	Fresh bool
	// Lazy opens an object without its first chunk, for who reads parts of it.
	Lazy bool
}

// Open finds the newest version of a key, and its first chunk unless o says
// otherwise. Absence is store.ErrNotFound; budget.ErrBusy says that there is no memory
// for the chunk; store.ErrPrecondition that the version was rewritten between its
// head and its bytes, also if Send or a Reader say it: who opens the key again,
// with Fresh, gets the new one. The Object stays readable while its version is in
// memory or in the store.
func (f *Filler) Open(ctx context.Context, k keys.Key, o Options) (*Object, error) {
	if o.Lazy {
		h, source, err := f.Stat(ctx, k, o)
		return &Object{Head: h, HeadSource: source, filler: f, key: k}, err
	}
	a, err := f.find(ctx, k, withBytes, o)
	if err != nil {
		return nil, err
	}
	obj := &Object{Head: a.Head, Source: a.Source, filler: f, key: k, first: a.first, pin: a.pin}
	if a.hasFirst {
		return obj, nil
	}
	if err := f.openFirst(ctx, obj); err != nil {
		obj.Close()
		return nil, err
	}
	return obj, nil
}

// openFirst has the first chunk come of an object whose head is known.
func (f *Filler) openFirst(ctx context.Context, o *Object) (err error) {
	if o.pin, err = f.budgets.streams.hold(ctx, o.key, 0, f.chunkLen(o.Head.Size, 0)); err != nil {
		return fmt.Errorf("get %s: %w", o.key, err)
	}
	var source Source
	o.first, o.relay, source, err = f.chunkToSend(f.chunkOf(o.key, o.Head, 0), o.pin)
	if err != nil {
		return err
	}
	if o.Source != S3 {
		o.Source = source
	}
	return nil
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
		a, err = f.fresh(ctx, k, w)
	} else {
		a, err = f.resolve(ctx, k, w)
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
