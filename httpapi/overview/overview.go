// Package overview says how the whole cluster is: what each member counts, of itself and
// in the last minutes, and in words whether all is well.
//
// It knows sums and no keys. A member that does not answer is in the report, as one that
// does not. Package httpapi answers GET /v1/cluster with it, and tells it whom it turned
// away; package admin gives it the numbers of this node's metrics. An Overview is safe
// for concurrent use.
package overview

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
)

const (
	route    = "overview"
	askLimit = 3 * time.Second
	// maxAnswer bounds what a member says of itself, in bytes.
	maxAnswer = 1 << 20
	// window is how far back the last minutes go, and every how often counts are kept.
	window = 5 * time.Minute
	every  = 10 * time.Second
)

// Counts are numbers by name; names are those of Numbers.
type Counts map[string]float64

// Numbers are what a node counts.
type Numbers struct {
	// Counters only grow: reads_SOURCE, failed (5xx; an answer that was broken
	// off is none of them, since its caller may have left), over_limit (of these,
	// writes over a limit of their org), s3_requests, s3_errors, s3_le_SECONDS
	// (requests that took at most so long), leases_waited, evictions, turned_away,
	// broken (what the protocol never lets be otherwise was), differing (reads that were
	// not what S3 held), mismatches (chunks with other bytes than were written), took_over
	// (builds that were passed on), file_errors, disk_errors, disk_written and disk_dropped
	// (chunks).
	Counters Counts `json:"counters"`
	// Gauges are as they are now: memory_own, memory_hot, memory_limit, heads, members,
	// unsettled, connections, limit_used, expired_due, certificate_end, resident (memory of the
	// process), resident_limit (what it may use), disk, disk_limit.
	Gauges Counts `json:"gauges"`
}

// Config of an Overview.
type Config struct {
	Version, Commit string
	// Numbers reads this node's.
	Numbers func() Numbers
	// Missing is what keeps this node from being ready; empty if it is.
	Missing func() string
	Log     zerolog.Logger
}

// Cluster is what an Overview needs of a cluster.
type Cluster interface {
	Self() cluster.Member
	Shares() []cluster.Share
	Ask(ctx context.Context, m cluster.Member, q cluster.Question) (cluster.Answer, error)
}

// Overview answers. Make one with New.
type Overview struct {
	cfg     Config
	cluster Cluster
	log     zerolog.Logger

	mu      sync.Mutex // guards the fields below
	kept    []sample   // oldest first
	denials []Denial   // oldest first
}

// sample is what the counters were at a moment.
type sample struct {
	at     time.Time
	counts Counts
}

// New makes an Overview of a cluster.
func New(cfg Config, c Cluster) *Overview {
	return &Overview{cfg: cfg, cluster: c, log: cfg.Log.With().Str("component", "overview").Logger()}
}

// Answer registers what members ask.
func (o *Overview) Answer(handle func(route string, h cluster.Handler)) {
	handle(route, func(_ context.Context, asked cluster.Asked) cluster.Answer {
		body, err := json.Marshal(o.self(asked.Text, time.Now()))
		if err != nil {
			return cluster.Answer{Status: http.StatusInternalServerError, Text: []byte(err.Error())}
		}
		return cluster.Answer{Status: http.StatusOK, Body: body}
	})
}

// Run keeps counts from time to time, until ctx ends.
func (o *Overview) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		o.keep(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// keep adds a sample, and drops those that are older than the window.
func (o *Overview) keep(now time.Time) {
	counts := o.cfg.Numbers().Counters
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, sample{now, counts})
	for len(o.kept) > 1 && now.Sub(o.kept[1].at) >= window {
		o.kept = o.kept[1:]
	}
}

// recent is what was counted since the oldest sample, and how long that is.
func (o *Overview) recent(counters Counts, now time.Time) (Counts, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept) == 0 {
		return Counts{}, 0
	}
	before := o.kept[0]
	grown := make(Counts, len(counters))
	for name, n := range counters {
		grown[name] = n - before.counts[name]
	}
	return grown, now.Sub(before.at)
}

// Node is what a member says of itself.
type Node struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	// Share is the part of all keys that it owns, as the node that was asked sees it.
	Share float64 `json:"share"`
	// Self marks the node that was asked.
	Self bool `json:"self"`
	// Answers is false of a member that did not; all below is then empty.
	Answers bool   `json:"answers"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Missing is what keeps it from being ready; empty if it is.
	Missing string `json:"missing"`
	Numbers
	// Recent is how the counters grew in the last Seconds, five minutes at most.
	Recent  Counts  `json:"recent"`
	Seconds float64 `json:"seconds"`

	denials []Denial
}

// said is a Node on its way, with what one org was denied.
type said struct {
	Node
	Denials []Denial
}

// self is what this node says of itself to one org.
func (o *Overview) self(org string, now time.Time) said {
	me := o.cluster.Self()
	n := Node{
		Name: me.Name, Started: time.Unix(0, int64(me.Incarnation)).UTC(), Answers: true, //nolint:gosec // nanoseconds since 1970
		Version: o.cfg.Version, Commit: o.cfg.Commit, Missing: o.cfg.Missing(), Numbers: o.cfg.Numbers(),
	}
	recent, since := o.recent(n.Counters, now)
	n.Recent, n.Seconds = recent, since.Seconds()
	return said{n, o.deniedTo(org)}
}

// Report is how the cluster is.
type Report struct {
	// Well reports whether there is nothing that a person must look at.
	Well     bool      `json:"well"`
	Findings []Finding `json:"findings"`
	Members  []Node    `json:"members"`
	// Denials are the last requests of the caller's org that were denied, newest first.
	Denials []Denial `json:"denials"`
}

// Report asks all members, for a caller of an org.
func (o *Overview) Report(ctx context.Context, org string) Report {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	shares := o.cluster.Shares()
	nodes := make([]Node, len(shares))
	var wg sync.WaitGroup
	for i, s := range shares {
		wg.Go(func() {
			heard := o.ask(ctx, s.Member, org)
			heard.denials = heard.Denials
			heard.Name, heard.Started, heard.Share = s.Name, time.Unix(0, int64(s.Incarnation)).UTC(), s.Part //nolint:gosec // as above
			heard.Self = s.ID == o.cluster.Self().ID
			nodes[i] = heard.Node
		})
	}
	wg.Wait()
	slices.SortFunc(nodes, func(x, y Node) int { return cmp.Compare(x.Name, y.Name) })
	r := Report{Members: nodes, Findings: judge(nodes, time.Now()), Denials: []Denial{}}
	r.Well = !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Bad })
	for _, n := range nodes {
		r.Denials = append(r.Denials, n.denials...)
	}
	slices.SortFunc(r.Denials, func(x, y Denial) int { return y.At.Compare(x.At) })
	r.Denials = r.Denials[:min(len(r.Denials), maxDenials)]
	return r
}

// ask asks one member; that which does not answer says nothing.
func (o *Overview) ask(ctx context.Context, m cluster.Member, org string) (heard said) {
	if m.ID == o.cluster.Self().ID {
		return o.self(org, time.Now())
	}
	a, err := o.cluster.Ask(ctx, m, cluster.Question{Route: route, Text: org, Room: maxAnswer})
	if err != nil || a.Status != http.StatusOK || json.Unmarshal(a.Body, &heard) != nil {
		o.log.Debug().Err(err).Int("status", a.Status).Str("peer", m.Name).Msg("a member did not say how it is")
		return said{}
	}
	return heard
}
