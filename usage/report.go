package usage

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"larder/cluster"
	"larder/keys"
)

// Report is what an org has, may have and has saved, as GET /v1/usage answers it.
type Report struct {
	Org string `json:"org"`
	Sum
	// Services and Writers split that up. What was there before it was counted has
	// no writer, which is "".
	Services map[string]Sum `json:"services"`
	Writers  map[string]Sum `json:"writers"`
	// Counted is when the counts were compared with the bucket last; null if not yet.
	Counted *time.Time `json:"counted"`
	Limits  Limits     `json:"limits"`
	Saved   Spans      `json:"saved"`
	// Days are the last thirty on which anything was saved, the oldest first. What was
	// put together by month has none.
	Days []Day `json:"days"`
	// Names and Users are those that saved most, in all.
	Names []Top `json:"names"`
	Users []Top `json:"users"`
	// Served is what the caller's own objects saved others; null if that was not asked for.
	Served *Served `json:"served"`

	readers map[string]map[string]Saving // by writer and reader
}

// Served is what the objects of one writer saved those who read them: People, without
// himself.
type Served struct {
	People int `json:"people"`
	Saving
}

// ServedBy is what the objects of a writer saved others.
func (r Report) ServedBy(writer string) *Served {
	s := &Served{}
	for reader, saved := range r.readers[writer] {
		if reader != writer {
			s.People++
			s.add(saved)
		}
	}
	if cost := r.Limits.CostPerHour; cost != nil {
		s.cost(*cost)
	}
	return s
}

// Limits are a Policy as JSON; null is no limit. Times are in seconds.
type Limits struct {
	MaxBytes          *int64   `json:"max_bytes"`
	MaxObjects        *int64   `json:"max_objects"`
	MaxObjectSize     *int64   `json:"max_object_size"`
	RequestsPerSecond *float64 `json:"requests_per_second"`
	BytesPerSecond    *float64 `json:"bytes_per_second"`
	ExpiresIn         *float64 `json:"expires_in"`
	MaxExpiresIn      *float64 `json:"max_expires_in"`
	CostPerHour       *float64 `json:"cost_per_hour"`
}

// Spans are what was saved today, this month (UTC), and in all.
type Spans struct {
	Today Saving `json:"today"`
	Month Saving `json:"month"`
	All   Saving `json:"all"`
}

// Saving is what was saved: seconds of building, by reads (hits). Cost is null if the
// policy has no cost of an hour.
type Saving struct {
	Seconds float64  `json:"seconds"`
	Hits    int64    `json:"hits"`
	Cost    *float64 `json:"cost"`
}

// Top is a name, or a user, with what it saved.
type Top struct {
	Name string `json:"name"`
	Saving
}

// Day is a day (UTC) with what was saved on it.
type Day struct {
	Day string `json:"day"`
	Saving
}

// maxDays is how many days a report has.
const maxDays = 30

// maxTop is how many names, and users, a report has.
const maxTop = 20

func (s *Saving) add(l Saving) {
	s.Seconds, s.Hits = s.Seconds+l.Seconds, s.Hits+l.Hits
}

// cost fills in what it would have cost.
func (s *Saving) cost(perHour float64) {
	if perHour > 0 {
		c := s.Seconds / 3600 * perHour
		s.Cost = &c
	}
}

// digest is what a report needs of one book.
type digest struct {
	version     string
	from        []string
	days        map[string]Saving
	names, user map[string]Saving
	readers     map[string]map[string]Saving // by writer and reader
}

func digestOf(version string, b *book) *digest {
	d := &digest{version: version, from: b.From, days: map[string]Saving{}, names: map[string]Saving{}, user: map[string]Saving{}, readers: map[string]map[string]Saving{}}
	for _, l := range b.Lines {
		s := Saving{Seconds: l.Seconds, Hits: l.Hits}
		for m, k := range map[*map[string]Saving]string{&d.days: l.When[:min(len(l.When), len(dayForm))], &d.names: l.Name, &d.user: l.User} {
			sum := (*m)[k]
			sum.add(s)
			(*m)[k] = sum
		}
		if l.Writer != "" {
			addReaders(d.readers, map[string]map[string]Saving{l.Writer: {l.User: s}})
		}
	}
	return d
}

// Report makes the report of an org. Every member first writes what it has counted
// of the org to the bucket, if it can; so a report is up to date but for what is
// counted meanwhile. Those who ask at once share one.
func (u *Usage) Report(ctx context.Context, org string) (Report, error) {
	if u == nil {
		return Report{Org: org}, nil
	}
	r, err, _ := u.reports.Do(org, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportLimit)
		defer cancel()
		return u.makeReport(ctx, org)
	})
	if err != nil {
		return Report{}, err
	}
	return r.(Report), nil
}

// reportLimit bounds the making of a report.
const reportLimit = 30 * time.Second

func (u *Usage) makeReport(ctx context.Context, org string) (Report, error) {
	u.flushAll(ctx, org)
	u.exchange(ctx, org)
	u.known(ctx, org)
	digests, err := u.digests(ctx, org)
	if err != nil {
		return Report{}, err
	}
	p := u.policies.Of(org)
	r := Report{Org: org, Services: map[string]Sum{keys.Objects: {}, keys.Strategies: {}}, Writers: map[string]Sum{}, Limits: limitsOf(p), readers: map[string]map[string]Saving{}}
	u.fillSizes(&r)
	names, users, days := map[string]Saving{}, map[string]Saving{}, map[string]Saving{}
	today := time.Now().UTC().Format(dayForm)
	for _, d := range digests {
		for day, s := range d.days {
			r.Saved.All.add(s)
			if strings.HasPrefix(day, today[:len(monthForm)]) {
				r.Saved.Month.add(s)
			}
			if day == today {
				r.Saved.Today.add(s)
			}
		}
		addAll(days, d.days)
		addAll(names, d.names)
		addAll(users, d.user)
		addReaders(r.readers, d.readers)
	}
	for _, s := range []*Saving{&r.Saved.Today, &r.Saved.Month, &r.Saved.All} {
		s.cost(p.CostPerHour)
	}
	r.Days = latest(days, p.CostPerHour)
	r.Names, r.Users = top(names, p.CostPerHour), top(users, p.CostPerHour)
	return r, nil
}

func addReaders(to, from map[string]map[string]Saving) {
	for writer, readers := range from {
		if to[writer] == nil {
			to[writer] = map[string]Saving{}
		}
		addAll(to[writer], readers)
	}
}

func addAll(to, from map[string]Saving) {
	for name, s := range from {
		sum := to[name]
		sum.add(s)
		to[name] = sum
	}
}

// latest are the last days of those that are known by the day.
func latest(of map[string]Saving, costPerHour float64) []Day {
	all := []Day{}
	for _, day := range slices.Sorted(maps.Keys(of)) {
		if len(day) == len(dayForm) {
			s := of[day]
			s.cost(costPerHour)
			all = append(all, Day{day, s})
		}
	}
	return all[max(0, len(all)-maxDays):]
}

func top(of map[string]Saving, costPerHour float64) []Top {
	all := make([]Top, 0, len(of))
	for name, s := range of {
		s.cost(costPerHour)
		all = append(all, Top{name, s})
	}
	slices.SortFunc(all, func(a, b Top) int { return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Name, b.Name)) })
	return all[:min(len(all), maxTop)]
}

// Saved is what reads of all that is counted under a name have saved, as far as members
// have written it to the bucket: at most a minute ago.
func (u *Usage) Saved(ctx context.Context, org, name string) (s Saving, err error) {
	if u == nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	digests, err := u.digests(ctx, org)
	if err != nil {
		return s, err
	}
	for _, d := range digests {
		s.add(d.names[name])
	}
	s.cost(u.policies.Of(org).CostPerHour)
	return s, nil
}

// fillSizes fills in what the org has. Counts that a crash made too small are never
// shown below nothing.
func (u *Usage) fillSizes(r *Report) {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(r.Org)
	accounts := h.accounts()
	r.Sum = accounts.total()
	for at, s := range accounts {
		r.Services[at.service] = r.Services[at.service].plus(s)
		r.Writers[at.writer] = r.Writers[at.writer].plus(s)
	}
	for writer, s := range r.Writers {
		if s == (Sum{}) {
			delete(r.Writers, writer)
		}
	}
	if h.base != nil && !h.base.walked.IsZero() {
		r.Counted = &h.base.walked
	}
}

func limitsOf(p Policy) Limits {
	count := func(n int64) *int64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	number := func(n float64) *float64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	return Limits{
		MaxBytes: count(p.MaxBytes), MaxObjects: count(p.MaxObjects), MaxObjectSize: count(p.MaxObjectSize),
		RequestsPerSecond: number(p.RequestsPerSecond), BytesPerSecond: number(p.BytesPerSecond),
		ExpiresIn: number(p.ExpiresIn.Seconds()), MaxExpiresIn: number(p.MaxExpiresIn.Seconds()), CostPerHour: number(p.CostPerHour),
	}
}

// digests reads what has changed of an org's ledger since it was read last, and
// returns what each book has to say that no other one holds.
func (u *Usage) digests(ctx context.Context, org string) ([]*digest, error) {
	s, err := u.shelf(ctx, org)
	if err != nil {
		return nil, err
	}
	u.digestsMu.Lock()
	known := u.digested[org]
	u.digestsMu.Unlock()
	now := map[string]*digest{}
	var changed []string
	for name, version := range s {
		if d := known[name]; d != nil && d.version == version {
			now[name] = d
		} else {
			changed = append(changed, name)
		}
	}
	books, err := u.open(ctx, org, changed)
	if err != nil {
		return nil, err
	}
	for name, b := range books {
		now[name] = digestOf(s[name], b)
	}
	u.digestsMu.Lock()
	u.digested[org] = now
	u.digestsMu.Unlock()
	held := map[string]bool{}
	for _, d := range now {
		for _, name := range d.from {
			held[name] = true
		}
	}
	var all []*digest
	for name, d := range now {
		if !held[name] {
			all = append(all, d)
		}
	}
	return all, nil
}

// flushLimit bounds the wait for members to write their pages.
const flushLimit = 2 * time.Second

// flushAll has every member write its pages of an org. One that does not is at most
// a minute behind.
func (u *Usage) flushAll(ctx context.Context, org string) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range u.others() {
		wg.Go(func() {
			if _, err := u.cluster.Ask(ctx, m, cluster.Question{Route: flushRoute, Text: org}); err != nil {
				u.log.Debug().Err(err).Str("peer", m.Name).Msg("a member did not write its part of the ledger")
			}
		})
	}
	if err := u.flush(ctx, org); err != nil {
		u.log.Warn().Err(err).Str("org", org).Msg("the ledger was not written, and is tried again")
	}
	wg.Wait()
}

func (u *Usage) handleFlush(ctx context.Context, asked cluster.Asked) cluster.Answer {
	if err := keys.ValidOrg(asked.Text); err != nil {
		return cluster.Answer{Status: http.StatusBadRequest, Text: []byte(err.Error())}
	}
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if err := u.flush(ctx, asked.Text); err != nil {
		return cluster.Answer{Status: http.StatusServiceUnavailable, Text: []byte(err.Error())}
	}
	return cluster.Answer{Status: http.StatusOK}
}
