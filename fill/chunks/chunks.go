package chunks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/cluster"
	"larder/fill/tier"
	"larder/fill/tier/disk"
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

// Store is what reads need of the durable store.
type Store interface {
	Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error)
	GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error)
	Head(ctx context.Context, name string) (store.Head, error)
	Sums(ctx context.Context, name string) (store.Sums, error)
}

// Ring is what reads need of the cluster.
type Ring interface {
	// Owner is the member that the ring gives a hash to, and whether it is this node.
	Owner(hash uint64) (m cluster.Member, self bool)
	// Next are the members after the owner in the ring's order, n at most.
	Next(hash uint64, n int) []cluster.Member
	// Ask asks one member.
	Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error)
}

// Config of Chunks.
type Config struct {
	// Group names the groupcache group; it must be unique in the process and
	// may differ between nodes.
	Group string
	// Plan says how much memory is for what.
	Plan budget.Plan
	// ChunkSize is in bytes. Nodes of one cluster use the same.
	ChunkSize int64
	// Disk keeps chunks that this node owns beyond its memory; nil if there is none.
	Disk *disk.Disk
	// Freed hears how long a chunk that this node owned was in memory, when it is
	// evicted. It may be nil, must return soon, and must not call Chunks.
	Freed func(age time.Duration)
	Log   zerolog.Logger
}

// Chunks obtains chunks. Make one with New.
type Chunks struct {
	size    int64 // of a chunk
	store   Store
	ring    Ring
	heads   *heads.Table
	own     *tier.Own
	hot     *tier.Hot
	given   *tier.Given
	disk    *disk.Disk
	near    near
	copies  tier.Flights[Data] // fetches of chunks that others own
	digests digests
	buffers buffers
	fetches sync.WaitGroup
	// demoting is held while chunks are made copies after a change of the ring.
	demoting sync.Mutex
	log      zerolog.Logger

	// These bound the bytes of chunks that are held beside the memory tier. Each
	// waits only for those below it, so that no two nodes wait for each other.
	streams *budget.Pins[id] // chunks on their way to callers
	serving *budget.Pins[id] // chunks on their way to peers
	loads   *budget.Pool     // chunks on their way from the store
}

// New makes Chunks. The groupcache group that it registers lives as long as the
// process.
func New(cfg Config, st Store, table *heads.Table, ring Ring) (*Chunks, error) {
	if cfg.ChunkSize <= 0 || cfg.Plan.Tier < 4*cfg.ChunkSize {
		return nil, fmt.Errorf("a tier of %d bytes holds fewer than four chunks of %d bytes", cfg.Plan.Tier, cfg.ChunkSize)
	}
	own, hot, given := tier.New(cfg.Group, cfg.Plan.Tier, func(is tier.ID, slot uint64, b []byte, age time.Duration) {
		if cfg.Freed != nil {
			cfg.Freed(age)
		}
		cfg.Disk.Put(slot, string(is[:]), b) // unless the disk has it
	})
	return &Chunks{
		size:    cfg.ChunkSize,
		store:   st,
		ring:    ring,
		heads:   table,
		own:     own,
		hot:     hot,
		given:   given,
		disk:    cfg.Disk,
		digests: digests{lists: newLists(cfg, st), log: cfg.Log},
		buffers: newBuffers(cfg.ChunkSize),
		log:     cfg.Log,
		streams: budget.NewPins[id](
			budget.NewPool("chunks on their way to callers", cfg.Plan.Streams, 0),
			budget.NewPool("chunks of the memory tier on their way to callers", cfg.Plan.Resident, 0)),
		serving: budget.NewPins[id](budget.NewPool("chunks on their way to peers", cfg.Plan.Serving, 0), nil),
		loads:   budget.NewPool("chunks on their way from the store", cfg.Plan.Loads, 0),
	}, nil
}

// Resize has everything fit into another plan. What is beyond it leaves the tier at
// once, and what is on its way when it has arrived.
func (s *Chunks) Resize(plan budget.Plan) {
	s.own.Resize(plan.Tier) // and s.hot and s.given, which share its memory
	s.streams.Resize(plan.Streams, plan.Resident)
	s.serving.Resize(plan.Serving, 0)
	s.loads.Resize(plan.Loads)
	s.digests.lists.resize(plan)
}

// Close waits until every fetch ahead that is under way has ended, and what a change of the
// ring began. Each is bounded.
func (s *Chunks) Close() { s.fetches.Wait() }

// Bounded runs a fetch for no longer than fetches may take. A panic in it becomes an
// error, so that it strands nobody.
func (s *Chunks) Bounded(ctx context.Context, k keys.Key, fetch func(context.Context) error) (err error) {
	limited, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	defer s.recovered(k, &err)
	if err = fetch(limited); ctx.Err() == nil {
		err = outOfTime(err)
	}
	return err
}

// recovered is deferred by a fetch: it makes a panic an error.
func (s *Chunks) recovered(k keys.Key, err *error) {
	if p := recover(); p != nil {
		s.log.Error().Stringer("key", k).Interface("panic", p).Bytes("stack", debug.Stack()).Msg("panic in a fetch")
		*err = fmt.Errorf("get %s: %w", k, ErrPanic)
	}
}

// outOfTime makes the end of a fetch's own time what it means to its callers,
// whose time has not ended: the store gave no answer, if it was asked.
func outOfTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, budget.ErrBusy) {
		return fmt.Errorf("%w: no answer within %s: %w", store.ErrUnavailable, fetchLimit, err)
	}
	return err
}

// Prime puts a chunk that was just written into the memory of the node that owns
// it, so that nobody reads it from the store. The bytes must not change any more.
func (s *Chunks) Prime(ctx context.Context, c Chunk, b []byte) error {
	if err := c.isLong(b); err != nil {
		return fmt.Errorf("prime %s: %w", c.key, err)
	}
	owner, self := s.ring.Owner(keys.ChunkHash(c.key, c.n))
	if !self {
		return s.sendChunk(ctx, owner, c, b)
	}
	if cap(b) > 2*len(b) {
		b = bytes.Clone(b) // a part would keep the whole of its buffer
	}
	s.Keep(c, b)
	return nil
}

// Stats of what a node holds, and of what it did since it started.
type Stats struct {
	Own, Hot tier.Held
	// Mismatches are the chunks, by source, that were not what was written.
	Mismatches map[Source]int64
	// Unverified chunks had no digest to be compared with.
	Unverified int64
	// NearUseful and NearVain are questions to members that may have owned a chunk before.
	NearUseful, NearVain int64
	// Underway is how many bytes are held for chunks on their way.
	Underway int64
}

// Stats counts.
func (s *Chunks) Stats() Stats {
	d := &s.digests
	return Stats{
		Own:        s.own.Held(),
		Hot:        s.hot.Held(),
		Mismatches: map[Source]int64{S3: d.s3.Load(), Peer: d.peer.Load(), Writer: d.writer.Load()},
		Unverified: d.unknown.Load(),
		NearUseful: s.near.useful.Load(),
		NearVain:   s.near.vain.Load(),
		Underway:   s.streams.Held() + s.serving.Held() + s.loads.Held(),
	}
}
