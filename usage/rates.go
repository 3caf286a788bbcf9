package usage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// ErrRate says that an org, or one of its users, asks for more a second than its
// policy lets it. The Later beside it says when to try again.
var ErrRate = errors.New("over a rate of your organisation")

// Later comes beside ErrRate.
type Later struct{ After time.Duration }

// Error says how long to wait.
func (l Later) Error() string { return "try again in " + l.After.String() }

const (
	// patience is how long a request waits for its turn at most. One that would
	// wait longer is refused at once.
	patience = time.Second
	// idleAfter is the time after which who asks for nothing has no part any more.
	idleAfter = 10 * time.Second
	// backSoon is how long who had to wait is taken to want more: longer than it takes
	// for one who was told to come back in a second or two.
	backSoon = 4 * time.Second
	// maxUsers bounds the users of an org whose rates a node keeps apart.
	maxUsers = 1000
	// otherUsers are those beyond.
	otherUsers = "(others)"
)

// The two things that have a rate.
const (
	requests = iota
	moved    // bytes
	resources
)

// rates are the limits of rates of all orgs on this node.
type rates struct {
	mu   sync.Mutex // guards orgs, and all below it
	orgs map[string]*orgRates
}

// orgRates are those of one org.
type orgRates struct {
	limits [resources]float64 // 0 is none
	users  map[string]*user
	// elsewhere is what users want at other members, by the member's ID.
	elsewhere map[string]map[string][resources]want
	// newcomer says that a user came of whom other members have not been told.
	newcomer bool
}

// want is what a user asks for of one resource, each second.
type want struct {
	PerSecond float64 `json:"n,omitempty"`
	// More says that the user would ask for more if he was served faster: some of
	// his requests waited, or were refused.
	More bool `json:"more,omitempty"`
}

// user is one user of an org on this node.
type user struct {
	last    time.Time
	buckets [resources]bucket
	asked   [resources]float64   // since the last round
	waited  [resources]time.Time // when a request waited last, or was refused
	wants   [resources]want
	rounds  int
}

func newRates() *rates { return &rates{orgs: map[string]*orgRates{}} }

// least is what a bucket of a resource holds at least.
func least(resource int) float64 {
	if resource == requests {
		return 1
	}
	return 0
}

// admit lets a request of a user go on, after a wait for its turn if need be, or
// refuses it with ErrRate and Later. Requests of one user are served in the order in which
// they came, and each user has a part of the org's rate of his own, so that nobody
// stands behind the many requests of another.
func (r *rates) admit(ctx context.Context, org, name string, p Policy) error {
	wait, err := r.take(time.Now(), org, name, p)
	if wait == 0 || err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take takes a place in the user's queue, and returns how long it lasts until it is
// his turn.
func (r *rates) take(now time.Time, org, name string, p Policy) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, u := r.of(now, org, name, p)
	u.asked[requests]++
	waits := [resources]time.Duration{}
	longest := requests
	for i, limit := range o.limits {
		if limit == 0 {
			continue
		}
		waits[i] = o.wait(now, u, i, least(i))
		if waits[i] > waits[longest] {
			longest = i
		}
	}
	if wait := waits[longest]; wait > patience {
		return 0, o.refusal(now, longest, u.buckets[longest].rate, wait)
	}
	if o.limits[requests] > 0 {
		u.buckets[requests].tokens--
	}
	return waits[longest], nil
}

// charge takes bytes for a request of a user that was admitted. If his other requests
// have taken more than comes in a moment, it is refused, unless force is set.
func (r *rates) charge(now time.Time, org, name string, p Policy, n int64, force bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, u := r.of(now, org, name, p)
	if wait := o.wait(now, u, moved, 0); wait > patience && !force {
		return o.refusal(now, moved, u.buckets[moved].rate, wait)
	}
	u.asked[moved] += float64(n)
	u.buckets[moved].tokens -= float64(n)
	return nil
}

// wait is how long a user has to wait for so much of a resource. Who did not wait
// lately, and was taken to want little, gets his part of the rate first.
func (o *orgRates) wait(now time.Time, u *user, resource int, tokens float64) time.Duration {
	wait := u.buckets[resource].wait(now, tokens)
	if wait == 0 {
		return 0
	}
	u.waited[resource] = now
	if !u.wants[resource].More {
		u.wants[resource].More = true
		o.newcomer = true // the others have to know
		o.share(now)
		wait = u.buckets[resource].wait(now, tokens)
	}
	return wait
}

// refusal says which limit it is, how far, and until when.
func (o *orgRates) refusal(now time.Time, resource int, part float64, wait time.Duration) error {
	wait = wait.Truncate(time.Second) + time.Second
	what, name := "requests", "requests_per_second"
	if resource == moved {
		what, name = "bytes", "bytes_per_second"
	}
	return fmt.Errorf("%w: it may have %.4g %s a second (%s), of which your part at this node is %.4g now, and that is used up: "+
		"try again in %d s, at %s%w", ErrRate, o.limits[resource], what, name, part,
		int(wait.Seconds()), now.Add(wait).UTC().Format("15:04:05 MST"), quiet{Later{wait}})
}

// quiet is an error beside another one that already says what it does.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }

// of returns the user's state, made anew for a user who was not here lately. The caller
// holds mu.
func (r *rates) of(now time.Time, org, name string, p Policy) (*orgRates, *user) {
	o := r.orgs[org]
	if o == nil {
		o = &orgRates{users: map[string]*user{}, elsewhere: map[string]map[string][resources]want{}}
		r.orgs[org] = o
	}
	limits := [resources]float64{p.RequestsPerSecond, p.BytesPerSecond}
	u := o.users[name]
	if u == nil && len(o.users) >= maxUsers {
		name = otherUsers
		u = o.users[name]
	}
	isNew := u == nil
	if isNew {
		u = &user{}
		for i := range u.buckets {
			u.buckets[i] = newBucket(now, least(i))
			u.wants[i] = want{More: true} // until it is known
		}
		o.users[name] = u
		o.newcomer = true
	}
	u.last = now
	if isNew || limits != o.limits {
		o.limits = limits
		o.share(now)
	}
	return o, u
}

// share gives each user here his part of the org's rates: first the users of the
// whole cluster share them, and then the nodes at which a user is. The caller holds
// mu.
func (o *orgRates) share(now time.Time) {
	for i, limit := range o.limits {
		if limit == 0 {
			continue
		}
		names, wants := o.wanted(i)
		for n, part := range fair(limit, wants) {
			if u := o.users[names[n]]; u != nil {
				here := append([]float64{u.wants[i].most()}, o.wantedElsewhere(i, names[n])...)
				u.buckets[i].set(now, fair(part, here)[0], least(i))
			}
		}
	}
}

// headroom is how many times what somebody asked for he has a part for, so that he
// need not wait, and may ask for more in time.
const headroom = 1.25

// most is how much is wanted at most.
func (w want) most() float64 {
	if w.More {
		return math.Inf(1)
	}
	return headroom * w.PerSecond
}

// wanted is what each user in the cluster wants of a resource. The caller holds mu.
func (o *orgRates) wanted(resource int) (names []string, wants []float64) {
	sums := map[string]float64{}
	for name, u := range o.users {
		sums[name] += u.wants[resource].most()
	}
	for _, users := range o.elsewhere {
		for name, w := range users {
			sums[name] += w[resource].most()
		}
	}
	for name, sum := range sums {
		names, wants = append(names, name), append(wants, sum)
	}
	return names, wants
}

// wantedElsewhere is what a user wants at each other member where he is. The caller
// holds mu.
func (o *orgRates) wantedElsewhere(resource int, name string) (wants []float64) {
	for _, users := range o.elsewhere {
		if w, ok := users[name]; ok {
			wants = append(wants, w[resource].most())
		}
	}
	return wants
}

// round ends a round of so many seconds: what users wanted in it is what they are
// taken to want in the next. Who has not asked for a while, and has no debt, is
// forgotten.
func (r *rates) round(now time.Time, seconds float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for org, o := range r.orgs {
		for name, u := range o.users {
			for i := range u.wants {
				u.measure(now, i, seconds)
			}
			u.rounds++
			if now.Sub(u.last) > idleAfter && (o.limits[moved] == 0 || u.buckets[moved].wait(now, 0) == 0) {
				delete(o.users, name)
			}
		}
		if len(o.users) == 0 && len(o.elsewhere) == 0 {
			delete(r.orgs, org)
			continue
		}
		o.share(now)
	}
}

// measure ends a round for one resource. The first one is not a whole one.
func (u *user) measure(now time.Time, i int, seconds float64) {
	measured := u.asked[i] / math.Max(seconds, 0.01)
	if u.rounds > 1 {
		measured = (measured + u.wants[i].PerSecond) / 2
	}
	u.wants[i] = want{PerSecond: measured, More: u.rounds == 0 || now.Sub(u.waited[i]) < backSoon}
	u.asked[i] = 0
}

// here is what the users of each org want here, for other members.
func (r *rates) here() map[string]map[string][resources]want {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]map[string][resources]want{}
	for org, o := range r.orgs {
		o.newcomer = false
		if len(o.users) == 0 {
			continue
		}
		all[org] = map[string][resources]want{}
		for name, u := range o.users {
			all[org][name] = u.wants
		}
	}
	return all
}

// hasNewcomer reports whether somebody came since here was called.
func (r *rates) hasNewcomer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.orgs {
		if o.newcomer {
			return true
		}
	}
	return false
}

// heard takes what another member's users want; nil if it is gone.
func (r *rates) heard(now time.Time, id string, wants map[string]map[string][resources]want) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for org, o := range r.orgs {
		if _, ok := wants[org]; !ok {
			delete(o.elsewhere, id)
		}
	}
	for org, users := range wants {
		o := r.orgs[org]
		if o == nil {
			o = &orgRates{users: map[string]*user{}, elsewhere: map[string]map[string][resources]want{}}
			r.orgs[org] = o
		}
		o.elsewhere[id] = users
	}
	for _, o := range r.orgs {
		o.share(now)
	}
}

// drop forgets what users want at members that are gone.
func (r *rates) drop(now time.Time, gone func(id string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.orgs {
		for id := range o.elsewhere {
			if gone(id) {
				delete(o.elsewhere, id)
				o.share(now)
			}
		}
	}
}
