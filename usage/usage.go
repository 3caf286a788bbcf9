package usage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"larder/cluster"
	"larder/keys"
)

// Cluster is what it needs of the cluster.
type Cluster interface {
	Self() cluster.Member
	Members() []cluster.Member
	Asker(id string) (m cluster.Member, ok bool)
	Owner(hash uint64) (m cluster.Member, self bool)
	Joined() bool
	Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error)
}

const (
	// roundEvery is how often members tell each other what they have counted, if
	// there is anything to tell, and newcomerAfter how soon they do once a user came.
	roundEvery    = time.Second
	newcomerAfter = 100 * time.Millisecond
	// keepEvery is how often what has changed is written to the bucket, and loadEvery
	// how often a node reads what another one writes there.
	keepEvery = 30 * time.Second
	loadEvery = 10 * time.Minute
	// foldEvery is how often pages of the ledger are put together.
	foldEvery = time.Hour
	// loadLimit bounds the wait for what an org has to be read.
	loadLimit = 10 * time.Second
	// closeLimit bounds what is done at the end.
	closeLimit = 20 * time.Second
)

// Usage counts and limits. Make one with New. A nil one has no limits and counts
// nothing.
type Usage struct {
	policies *Policies
	store    Store
	cluster  Cluster
	log      zerolog.Logger
	rates    *rates
	counts   counts
	loads    singleflight.Group // of what orgs have, by org
	reports  singleflight.Group // by org
	// toldRates says that others were told of wants, and all have to hear when there
	// are none any more.
	toldRates atomic.Bool

	page     atomic.Pointer[page]
	flushing chan struct{}    // holds a token during a flush, which guards flushed; held before pagesMu
	flushed  map[string]int64 // what was written of a page for an org
	pagesMu  sync.Mutex       // guards full, and the change of page
	full     []*page          // pages of hours that are over, until they were written

	digestsMu sync.Mutex // guards digested
	digested  map[string]map[string]*digest

	mu       sync.Mutex // guards what is below, and all of the holdings
	holdings map[string]*holding
	doubts   map[string]bool // orgs with a write of unknown outcome since the last walk
	rests    map[string]rest
	due      map[string]*dues
}

// dues are when something is to be done for an org again.
type dues struct{ keep, load, fold time.Time }

// New makes a Usage.
func New(p *Policies, st Store, c Cluster, log zerolog.Logger) *Usage {
	u := &Usage{
		policies: p, store: apart{st}, cluster: c, rates: newRates(), log: log.With().Str("component", "usage").Logger(),
		flushing: make(chan struct{}, 1), flushed: map[string]int64{}, digested: map[string]map[string]*digest{},
		holdings: map[string]*holding{}, doubts: map[string]bool{}, rests: map[string]rest{}, due: map[string]*dues{},
	}
	u.page.Store(newPage(time.Now().UTC().Truncate(time.Hour)))
	return u
}

// Policy returns that of an org.
func (u *Usage) Policy(org string) Policy {
	if u == nil {
		return Policy{}
	}
	return u.policies.Of(org)
}

// LimitsSizes reports whether an org has a limit of its bytes or objects.
func (u *Usage) LimitsSizes(org string) bool {
	p := u.Policy(org)
	return p.MaxBytes > 0 || p.MaxObjects > 0
}

// Admit lets a request of a user go on, after a wait for its turn of a second at
// most, or refuses it with ErrRate and Later.
func (u *Usage) Admit(ctx context.Context, org, user string) error {
	if u == nil || !u.policies.rated.Load() {
		return nil
	}
	p := u.policies.Of(org)
	if p.RequestsPerSecond == 0 && p.BytesPerSecond == 0 {
		return nil
	}
	return u.rates.admit(ctx, org, user, p)
}

// IsRated reports whether Admit or Charge have anything to decide for an org.
func (u *Usage) IsRated(org string) bool {
	if u == nil || !u.policies.rated.Load() {
		return false
	}
	p := u.policies.Of(org)
	return p.RequestsPerSecond > 0 || p.BytesPerSecond > 0
}

// Charge takes bytes for a request that was admitted, before they are moved. It
// fails with ErrRate and Later if the user's other requests have taken too many.
func (u *Usage) Charge(org, user string, bytes int64) error {
	if u == nil || bytes == 0 || !u.policies.rated.Load() {
		return nil
	}
	p := u.policies.Of(org)
	if p.BytesPerSecond == 0 {
		return nil
	}
	return u.rates.charge(time.Now(), org, user, p, bytes, false)
}

// ChargeLate takes bytes that were moved already.
func (u *Usage) ChargeLate(org, user string, bytes int64) {
	if p := u.Policy(org); p.BytesPerSecond > 0 && bytes > 0 {
		_ = u.rates.charge(time.Now(), org, user, p, bytes, true) // forced, it does not fail
	}
}

// holding is that of an org. The caller holds mu.
func (u *Usage) holding(org string) *holding {
	h := u.holdings[org]
	if h == nil {
		h = newHolding(u.cluster.Self().ID)
		u.holdings[org] = h
	}
	return h
}

// orgs are those that anything is known of.
func (u *Usage) orgs() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, org := range u.policies.Orgs() {
		u.holding(org)
	}
	orgs := make([]string, 0, len(u.holdings))
	for org := range u.holdings {
		orgs = append(orgs, org)
	}
	return orgs
}

// isLive reports whether a start of a node may still count.
func (u *Usage) isLive(id string) bool {
	_, ok := u.cluster.Asker(id)
	return ok || id == u.cluster.Self().ID
}

// keeps reports whether this node looks after an org.
func (u *Usage) keeps(org string) bool {
	_, self := u.cluster.Owner(keys.Key{Org: org}.Hash())
	return self
}

// known reads what an org has from the bucket, unless what was read is good. Those who
// want it at once share one read, which the end of nobody's request breaks off. If it
// cannot be read, nothing can be written either.
func (u *Usage) known(ctx context.Context, org string) {
	u.mu.Lock()
	h := u.holding(org)
	good := h.base != nil && !h.outdated
	u.mu.Unlock()
	if good {
		return
	}
	loaded := u.loads.DoChan(org, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
		defer cancel()
		return nil, u.load(ctx, org)
	})
	select {
	case <-ctx.Done():
	case l := <-loaded:
		if l.Err != nil {
			u.log.Warn().Err(l.Err).Str("org", org).Msg("what an org has is not known, and its limits do not hold until it is")
		}
	}
}

// Run counts until ctx ends. Close must follow.
func (u *Usage) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { u.rounds(ctx); return nil })
	g.Go(func() error { u.flushes(ctx); return nil })
	g.Go(func() error { u.keepAll(ctx); return nil })
	return g.Wait()
}

// rounds has members tell each other what they have counted.
func (u *Usage) rounds(ctx context.Context) {
	tick := time.NewTicker(newcomerAfter)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		switch since := now.Sub(last); {
		case since >= roundEvery:
			last = now
			u.rates.round(now, since.Seconds())
			u.dropGone(now)
			u.turn(now)
			u.tellAll(ctx, u.tellable(now))
		case u.rates.hasNewcomer():
			u.tellAll(ctx, u.tellable(now))
		}
	}
}

// dropGone forgets what members that are gone want, and in time what they counted.
func (u *Usage) dropGone(now time.Time) {
	here := map[string]bool{}
	for _, m := range u.cluster.Members() {
		here[m.ID] = true
	}
	u.rates.drop(now, func(id string) bool { return !here[id] })
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, h := range u.holdings {
		for id, o := range h.others {
			if !here[id] && now.Sub(o.at) > forgetStart && h.base != nil && h.base.starts[id] != nil {
				delete(h.others, id)
				delete(h.told, id)
				h.valid = false
			}
			if !here[id] { // what was under way there is over
				o.pending, o.writes = Sum{}, 0
			}
		}
	}
}

// flushes writes the ledger again and again, whatever else takes long.
func (u *Usage) flushes(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			u.logFailure(ctx, "", u.flush(ctx, ""))
		}
	}
}

// keepAll looks after each org again and again.
func (u *Usage) keepAll(ctx context.Context) {
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !u.cluster.Joined() {
			continue
		}
		for _, org := range u.orgs() {
			u.keep(ctx, org)
		}
	}
}

// logFailure logs what went wrong, which is tried again.
func (u *Usage) logFailure(ctx context.Context, org string, err error) {
	if err == nil || errors.Is(err, errRewritten) || ctx.Err() != nil {
		return
	}
	u.counts.failed.Add(1)
	u.log.Warn().Err(err).Str("org", org).Msg("what was counted is not in the bucket yet, and is tried again")
}

// keep does what is due for an org.
func (u *Usage) keep(ctx context.Context, org string) {
	u.known(ctx, org)
	now := time.Now()
	u.mu.Lock()
	h, d := u.holding(org), u.due[org]
	if d == nil {
		d = &dues{keep: now.Add(keepEvery), load: now.Add(loadEvery), fold: now.Add(keepEvery)}
		u.due[org] = d
	}
	loaded, dirty := h.base != nil, h.dirty()
	u.mu.Unlock()
	if loaded && u.keeps(org) {
		u.watch(org)
	}
	switch {
	case !loaded:
	case !u.keeps(org):
		if now.After(d.load) {
			d.load = now.Add(loadEvery)
			u.logFailure(ctx, org, u.load(ctx, org))
		}
	case u.walkDue(org, now):
		u.logFailure(ctx, org, u.walk(ctx, org))
	case now.After(d.fold):
		d.fold = now.Add(foldEvery)
		u.logFailure(ctx, org, u.fold(ctx, org, now))
	case dirty && now.After(d.keep):
		d.keep = now.Add(keepEvery)
		u.logFailure(ctx, org, u.save(ctx, org, false, nil))
	}
}

// Close writes what was counted, once nothing is counted any more.
func (u *Usage) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	u.tellAll(ctx, u.orgs())
	err := u.flush(ctx, "")
	for _, org := range u.orgs() {
		u.mu.Lock()
		h := u.holding(org)
		counted := len(h.mine) > 0 || h.base != nil && h.base.starts[h.id] != nil
		u.mu.Unlock()
		for tries := 0; counted && tries < 5; tries++ {
			failed := u.save(ctx, org, true, nil)
			if errors.Is(failed, errRewritten) {
				continue
			}
			err = errors.Join(err, failed)
			break
		}
	}
	return err
}
