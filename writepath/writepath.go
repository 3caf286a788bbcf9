package writepath

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/budget"
	"larder/cluster"
	"larder/expiry"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/usage"
)

var (
	// ErrUnknown says that the write may have happened, or may still happen.
	ErrUnknown = errors.New("outcome of the write unknown")
	// ErrClaimLost says that the key does not hold what it held when the write's claim
	// was granted, or that another write has ended the claim. Nothing was written, and
	// the Result has the head of what is there.
	ErrClaimLost = errors.New("the claim of the write is lost")
	// ErrNotApplied says that no node took the write within its time.
	// Nothing was written.
	ErrNotApplied = errors.New("write not taken")
)

const (
	// writeLimit bounds a write from its arrival at a node to its answer. It
	// leaves room for an owner to be seen dead, a lease to run out, and an
	// upload.
	writeLimit = 45 * time.Second
	// completeLimit is that of making a large object visible: S3 may take a
	// minute to put its parts together.
	completeLimit = 100 * time.Second
	// retryPause is the wait before a write that no owner took is tried again;
	// half of it is by chance, so that two owners for a moment do not meet again.
	retryPause = 100 * time.Millisecond
	// dropsBeside is how many removals of what lies beside objects run at once. One more
	// waits, and with it its write: each is bounded.
	dropsBeside = 64
	// tellAgain is the wait before a member that did not acknowledge a
	// revocation is told again.
	tellAgain = 250 * time.Millisecond
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
	// Waited hears how long each write waited until no other node could hold a
	// lease on its key. It may be nil.
	Waited func(d time.Duration)
	// Expiry is the index of objects that expire; nil for one of its own.
	Expiry *expiry.Index
	// ExpireEvery is the pause between two walks through what has expired, ExpireGrace
	// how long it stays in the store, and ExpireStray how long an entry of the index
	// without its object stays. 0 is a default: 10 minutes, 1, and 10.
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

// op is a write: a put, or a delete. Body and Parts do not travel with the rest.
type op struct {
	Delete bool
	// Head is what is kept with the bytes of a put: content type, digest,
	// writer, metadata.
	Head store.Head
	// IfMatch lets the write happen only if one of these versions is there;
	// "*" is any version.
	IfMatch []string
	// IfAbsent lets a put happen only if nothing is there.
	IfAbsent bool
	// ExpiresIn is how long after the owner has taken a put the object expires; 0 for
	// never, and of what is in the store already: its head says it. It travels instead
	// of the moment, since clocks differ.
	ExpiresIn time.Duration `json:",omitempty"`
	// InParts says that the bytes are in the store already, and wait there to
	// be made visible.
	InParts bool
	// Claim is the claim that a put bears; nil without.
	Claim *Claim `json:",omitempty"`

	Body  []byte `json:"-"` // the object, if not InParts
	Parts parts  `json:"-"` // if InParts

	// expired is the name of the write that a delete removes once it has expired; empty
	// for any other write.
	expired string

	// drop says whether a delete is done, of many, and dropped is what became of it; nil
	// for any other write.
	drop    *Drop
	dropped *Dropped

	// abandoned reports whether nobody is known to wait for the outcome any
	// more. A write that is abandoned before its upload is not done.
	abandoned func() bool
}

// limit bounds the write from its arrival at a node.
func (o op) limit() time.Duration {
	if o.InParts {
		return completeLimit
	}
	return writeLimit
}

// parts are the bytes of an object that the store holds and nobody sees yet.
type parts struct {
	Upload store.Upload
	Parts  partList
}

// partList is read from JSON up to as many parts as the store takes: a list of
// empty ones would grow to many times its length.
type partList []store.Part

// UnmarshalJSON reads a list.
func (l *partList) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("no list of parts")
	}
	for d.More() {
		var part store.Part
		if len(*l) == store.MaxParts {
			return fmt.Errorf("more than %d parts", store.MaxParts)
		}
		if err := d.Decode(&part); err != nil {
			return err
		}
		*l = append(*l, part)
	}
	return nil
}

// Result of a write that was acknowledged.
type Result struct {
	// Head is what is there now; zero after a delete.
	Head store.Head
	// Created says that nothing was there before.
	Created bool
	// Repeated says that an earlier write under the same claim, of the same bytes, is
	// there, and that this one did nothing.
	Repeated bool `json:",omitempty"`
}

// Claim is the right to put a key that somebody has built, as long as the key holds
// what it held when it was granted.
type Claim struct {
	// Name is random, and kept with the object.
	Name string
	// Version and Write are those of what the key held; Write is empty if it held nothing.
	Version, Write string
}

// absent reports whether the key held nothing.
func (c Claim) absent() bool { return c.Write == "" }

// Conditions of a put, as the caller stated them.
type Conditions struct {
	// IfMatch lets the put happen only if one of these versions is there; "*"
	// is any version.
	IfMatch []string
	// IfAbsent lets it happen only if nothing is there.
	IfAbsent bool
	// Claim lets it happen only if what was there when it was granted still is, and is
	// kept with the object. There is no other condition then.
	Claim *Claim
	// ExpiresIn is how long the object lives; 0 is for ever.
	ExpiresIn time.Duration
}

// Put writes an object of one chunk at most. The errors are those of
// store.Store's Put, ErrUnknown and ErrNotApplied. Once the owner has begun, it
// finishes even if ctx ends.
func (p *Path) Put(ctx context.Context, k keys.Key, h store.Head, body []byte, c Conditions) (Result, error) {
	if err := canExpire(k, c.ExpiresIn); err != nil {
		return Result{}, err
	}
	return p.route(ctx, k, op{
		Head: c.Claim.onto(h), IfMatch: c.IfMatch, IfAbsent: c.IfAbsent, Claim: c.Claim, ExpiresIn: c.ExpiresIn, Body: body,
	})
}

// Delete removes an object. Absence is store.ErrNotFound.
func (p *Path) Delete(ctx context.Context, k keys.Key, ifMatch []string) error {
	_, err := p.route(ctx, k, op{Delete: true, IfMatch: ifMatch})
	return err
}
