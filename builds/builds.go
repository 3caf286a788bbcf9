package builds

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/fill"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// Cluster is what builds needs of the cluster.
type Cluster interface {
	Self() cluster.Member
	Owner(hash uint64) (m cluster.Member, self bool)
	Members() []cluster.Member
	Member(id string) (m cluster.Member, ok bool)
	// Changes is how often the ring has changed.
	Changes() uint64
	Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error)
}

// Reader looks what a key holds.
type Reader interface {
	Stat(ctx context.Context, k keys.Key, o fill.Options) (store.Head, chunks.Source, error)
	// StatHere is Stat if nothing has to be asked, as ok reports.
	StatHere(k keys.Key) (h store.Head, ok bool, err error)
}

// What this node refuses, beyond its bounds. Callers may try again.
var (
	// ErrCrowd says that too many wait for one key at this node.
	ErrCrowd = errors.New("too many wait for this key at this node")
	// ErrStreams says that an org has as many streams at this node as it may.
	ErrStreams = errors.New("your organisation has as many streams at this node as it may")
	// ErrFull says that as much is being built as this node, or the key's owner, may know of.
	ErrFull = errors.New("too much is being built at once")
	// ErrOthers says that somebody else builds the key.
	ErrOthers = errors.New("somebody else builds this key")
	// ErrLeaving says that the node is about to end, and lets nobody attach.
	ErrLeaving = errors.New("this node is leaving")
)

// Bounds of what a node holds. A claim with its builder takes a few kilobytes.
const (
	// maxKeys is for how many keys an owner knows of a build or a failure.
	maxKeys = 50_000
	// maxGroups is for how many keys somebody is attached to a node.
	maxGroups = 50_000
	// maxPerKey is how many are attached to a node for one key.
	maxPerKey = 2_000
	// maxStreams is how many streams an org has at a node.
	maxStreams = 5_000
	// maxNames is how many claims that are over are remembered by name.
	maxNames = 16 << 10
)

// bounds are those above, or smaller ones of a test.
type bounds struct {
	limits
	groups, perKey, streams int
}

func standard() bounds {
	return bounds{limits: limits{keys: maxKeys, names: maxNames}, groups: maxGroups, perKey: maxPerKey, streams: maxStreams}
}

// Config of Builds.
type Config struct {
	// Silence is how long a claim is held by somebody who says nothing.
	Silence time.Duration
	// Secrets are the keys that authenticate tokens, the first to make them; nil is
	// for a cluster without a secret.
	Secrets func() [][]byte
	Log     zerolog.Logger
}

// Builds is a node's part in the claims. Make one with New.
type Builds struct {
	cfg     Config
	bounds  bounds
	cluster Cluster
	read    Reader
	owner   *owner
	log     zerolog.Logger
	audit   zerolog.Logger
	changed chan struct{} // holds a token when the ring has changed
	// absences is how often this node was away without noticing it.
	absences atomic.Uint64
	saying   sync.WaitGroup // statements that are due or under way
	// within makes the context of a question or a look: it ends after a time, or by end.
	within func(limit time.Duration) (context.Context, context.CancelFunc)
	end    context.CancelFunc

	mu      sync.Mutex // guards all below, and what groups and visits hold
	groups  map[keys.Key]*group
	streams map[string]int // by org
	number  uint64         // of the last statement
	nonce   uint64
	leaving bool // nobody may attach any more
	over    bool // nothing is said any more
}

// New makes Builds.
func New(cfg Config, read Reader, c Cluster) *Builds {
	life, end := context.WithCancel(context.Background())
	b := &Builds{
		cfg: cfg, bounds: standard(), cluster: c, read: read,
		log:     cfg.Log.With().Str("component", "builds").Logger(),
		audit:   cfg.Log.With().Str("component", "audit").Logger(),
		changed: make(chan struct{}, 1),
		groups:  map[keys.Key]*group{}, streams: map[string]int{},
		within: func(limit time.Duration) (context.Context, context.CancelFunc) {
			return context.WithTimeout(life, limit)
		},
		end: end,
	}
	b.owner = &owner{b: b, t: newTable(c.Self().ID, cfg.Silence, b.bounds.limits)}
	return b
}

// ring grows with each change of the ring, and when this node was away.
func (b *Builds) ring() uint64 { return b.cluster.Changes() + b.absences.Load() }

// WasAway takes in that this node was taken for dead, and did not notice: it does as if
// its ring had changed, and what it knew as an owner is over.
func (b *Builds) WasAway() {
	b.absences.Add(1)
	b.owner.with(func(t *table, _ time.Time) { t.forget() })
	b.RingChanged()
}

// Stats counts.
func (b *Builds) Stats() (s Stats) {
	b.owner.mu.Lock()
	defer b.owner.mu.Unlock()
	return b.owner.t.stats()
}

// Run does what time and changes of the ring bring, until ctx ends. Then nobody can
// attach any more, and nothing is left under way.
func (b *Builds) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	defer b.stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.owner.with(func(t *table, now time.Time) { t.tick(now) })
		case <-b.changed:
			asking.Go(func() { b.askAll(ctx) })
		}
	}
}

// stop ends what is under way, and lets nothing begin any more.
func (b *Builds) stop() {
	b.mu.Lock()
	b.leaving, b.over = true, true
	b.mu.Unlock()
	b.end()
	b.saying.Wait()
	b.owner.end()
}
