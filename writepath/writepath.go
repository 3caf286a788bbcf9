package writepath

import (
	"cmp"
	"context"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/budget"
	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/store/expiry"
	"larder/usage"
)

const (
	// retryPause is the wait before a write that no owner took is tried again;
	// half of it is by chance, so that two owners for a moment do not meet again.
	retryPause = 100 * time.Millisecond
	// dropsBeside is how many removals of what lies beside objects run at once. One more
	// waits, and with it its write: each is bounded.
	dropsBeside = 64
	// expireEvery, expireGrace and strayAfter are the defaults of a Config. A write is over
	// in less than strayAfter, and what it left in the store was applied or was not.
	expireEvery = 10 * time.Minute
	expireGrace = time.Minute
	strayAfter  = 10 * time.Minute
)

// Store is what writepath needs of the durable store.
type Store interface {
	Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error)
	Head(ctx context.Context, name string) (store.Head, error)
	List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error)
	Put(ctx context.Context, name string, w store.Write) (store.Head, error)
	Delete(ctx context.Context, name string) error
	DeleteMany(ctx context.Context, names []string) []error
	// DeleteVersion deletes this version only, where the store holds that.
	DeleteVersion(ctx context.Context, name, version string) error
	// Traits tells which conditions the store holds by itself.
	Traits() store.Traits
	store.Uploads
}

// Memory is where written bytes are kept.
type Memory interface {
	// Prime keeps chunk n of a version that was just written.
	Prime(ctx context.Context, k keys.Key, h store.Head, n int, chunk []byte) error
}

// Cluster is what writepath needs of the cluster: who owns a key, whom to tell of a
// write, and how to reach them.
type Cluster interface {
	Owner(hash uint64) (m cluster.Member, self bool)
	Self() cluster.Member
	Joined() bool
	Members() []cluster.Member
	Departed(within time.Duration) []cluster.Departure
	Asker(id string) (m cluster.Member, ok bool)
	Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error)
	Fanout(ctx context.Context, members []cluster.Member, route, text string) []cluster.Ack
	Gossip(msg []byte)
}

// Claims are who builds a key, as far as writes concern them.
type Claims interface {
	// Mark notes that a write is about to change k in the store, and reports whether it
	// may: the claim of that name, if it bears one, was not ended by a write. If it
	// may, Unmark tells what came of it, before its caller is told.
	Mark(k keys.Key, claim string) bool
	Unmark(k keys.Key, claim string, o heads.Outcome)
	// Fenced tells that the write of a user was refused with ErrClaimLost.
	Fenced(k keys.Key, user, claim string)
	// Wrote tells the key's owner what another node, which was the owner, has written.
	Wrote(ctx context.Context, k keys.Key, claim string, is heads.Known)
}

// Config of a Path.
type Config struct {
	// Claims are told of every write. They may be nil.
	Claims Claims
	// Lease is the longest that another node trusts a head.
	Lease time.Duration
	// Plan says how much memory is for what.
	Plan budget.Plan
	// ChunkSize is in bytes, the same on all nodes.
	ChunkSize int64
	// MaxObject is the largest object that is taken, in bytes.
	MaxObject int64
	// Usage limits what an org may have, and counts it; nil does neither.
	Usage *usage.Usage
	// Waited hears how long a write waited until no other node could hold a lease on its
	// key, if one may have had one. It may be nil.
	Waited func(d time.Duration)
	// Expiry is the index of objects that expire; nil for one of its own.
	Expiry *expiry.Index
	// ExpireEvery is the pause between two walks through what has expired, ExpireGrace
	// how long it stays in the store for those who began to read it in time, and
	// ExpireStray how long an entry of the index without its object stays. 0 is a default:
	// 10 minutes, 1, and 10.
	ExpireEvery, ExpireGrace, ExpireStray time.Duration

	Log zerolog.Logger
}

// Path takes writes. Make one with New.
type Path struct {
	cfg     Config
	store   Store
	heads   *heads.Table
	memory  Memory
	cluster Cluster
	uploads uploads
	expiry  *expiry.Index
	drops   errgroup.Group // removes lists of digests, and entries of the index
	counts  counts
	log     zerolog.Logger
	audit   zerolog.Logger // hears of every write that another node forwards
}

// New makes a Path.
func New(cfg Config, st Store, table *heads.Table, memory Memory, c Cluster) *Path {
	if cfg.Waited == nil {
		cfg.Waited = func(time.Duration) {}
	}
	if cfg.Claims == nil {
		cfg.Claims = noClaims{}
	}
	if cfg.Expiry == nil {
		cfg.Expiry = expiry.New(st)
	}
	cfg.ExpireEvery = cmp.Or(cfg.ExpireEvery, expireEvery)
	cfg.ExpireGrace = cmp.Or(cfg.ExpireGrace, expireGrace)
	cfg.ExpireStray = cmp.Or(cfg.ExpireStray, strayAfter)
	p := &Path{
		cfg:     cfg,
		store:   st,
		heads:   table,
		memory:  memory,
		cluster: c,
		expiry:  cfg.Expiry,
		uploads: newUploads(PartSize(cfg.ChunkSize, cfg.MaxObject), cfg.Plan),
		log:     cfg.Log.With().Str("component", "writepath").Logger(),
		audit:   cfg.Log.With().Str("component", "audit").Logger(),
	}
	p.drops.SetLimit(dropsBeside)
	return p
}

// Resize has the uploads fit into another plan, those under way as they end.
func (p *Path) Resize(plan budget.Plan) {
	u := &p.uploads
	u.buffers.pool.Resize(plan.Parts)
	u.buffers.trim()
	u.kept.Resize(plan.Kept)
	u.bodies.Resize(plan.Forwarded)
}

// noClaims are those of a node without any.
type noClaims struct{}

func (noClaims) Mark(keys.Key, string) bool                           { return true }
func (noClaims) Unmark(keys.Key, string, heads.Outcome)               {}
func (noClaims) Fenced(keys.Key, string, string)                      {}
func (noClaims) Wrote(context.Context, keys.Key, string, heads.Known) {}
