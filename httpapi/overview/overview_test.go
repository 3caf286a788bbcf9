package overview

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
)

// pair is a cluster of this node and one that says what it is told to.
type pair struct{ says *said }

func (pair) Self() cluster.Member { return cluster.Member{Name: "a", ID: "a", Incarnation: 1} }

func (p pair) Shares() []cluster.Share {
	return []cluster.Share{{Member: p.Self(), Part: 0.4}, {Member: cluster.Member{Name: "b", ID: "b"}, Part: 0.6}}
}

func (p pair) Ask(context.Context, cluster.Member, cluster.Question) (cluster.Answer, error) {
	if p.says == nil {
		return cluster.Answer{}, errors.New("no answer")
	}
	b, err := json.Marshal(p.says)
	return cluster.Answer{Status: 200, Body: b}, err
}

func newOverview(c Cluster, n *Numbers) *Overview {
	return New(Config{
		Version: "v1", Numbers: func() Numbers { return *n }, Missing: func() string { return "" }, Log: zerolog.Nop(),
	}, c)
}

// healthy is a member of a cluster of two with which nothing is wrong.
func healthy(name string) Node {
	return Node{Name: name, Answers: true, Version: "v1", Numbers: Numbers{Gauges: Counts{"members": 2}, Counters: Counts{}}, Recent: Counts{}}
}

// A report has all members, and what one org was denied, at whichever of them.
func TestReport(t *testing.T) {
	other := &said{healthy("b"), []Denial{{Org: "acme", User: "rob", Problem: "read-only", Node: "b", At: time.Unix(20, 0)}}}
	o := newOverview(pair{other}, &Numbers{Gauges: Counts{"members": 2}, Counters: Counts{}})
	o.Denied(Denial{Org: "acme", User: "ada", Problem: "rate", At: time.Unix(10, 0)})
	o.Denied(Denial{Org: "beta", User: "bea", Problem: "rate", At: time.Unix(30, 0)})
	r := o.Report(t.Context(), "acme")
	if !r.Well || len(r.Members) != 2 || !r.Members[0].Self || r.Members[1].Share != 0.6 || !r.Members[1].Answers {
		t.Errorf("%+v", r)
	}
	if len(r.Denials) != 2 || r.Denials[0].User != "rob" || r.Denials[1].User != "ada" || r.Denials[1].Node != "a" {
		t.Errorf("denials %+v", r.Denials)
	}
	if r := newOverview(pair{}, &Numbers{Gauges: Counts{"members": 2}}).Report(t.Context(), "acme"); r.Well || r.Members[1].Answers || !strings.Contains(r.Findings[0].Text, "b does not answer") {
		t.Errorf("without the other: %+v", r)
	}
}

// The last minutes are what was counted since the oldest sample within the window.
func TestRecent(t *testing.T) {
	n := &Numbers{}
	o := newOverview(pair{}, n)
	start := time.Unix(0, 0)
	for i := range 100 {
		n.Counters = Counts{"failed": float64(i)}
		o.keep(start.Add(time.Duration(i) * every))
	}
	grown, since := o.recent(Counts{"failed": 100}, start.Add(100*every))
	if since < window || since > window+2*every || grown["failed"] != since.Seconds()/every.Seconds() {
		t.Errorf("%v in %s", grown, since)
	}
}

func TestDenialsAreBounded(t *testing.T) {
	o := newOverview(pair{}, &Numbers{})
	for range 2 * keptDenials {
		o.Denied(Denial{Org: "acme"})
	}
	if len(o.denials) != keptDenials || len(o.deniedTo("acme")) != maxDenials {
		t.Errorf("%d kept, %d told", len(o.denials), len(o.deniedTo("acme")))
	}
	(*Overview)(nil).Denied(Denial{})
}

// Each thing that can be wrong is said in words.
func TestJudge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		name   string
		change func(*Node)
		level  Level
		text   string
	}{
		{"nothing", func(*Node) {}, Good, "All is well. All 2 members answer"},
		{"silent", func(n *Node) { *n = Node{Name: n.Name} }, Bad, "b does not answer"},
		{"not ready", func(n *Node) { n.Missing = "the store has not been seen" }, Bad, "b is not ready: the store"},
		{"sees others", func(n *Node) { n.Gauges["members"] = 1 }, Bad, "b sees one member"},
		{"broken", func(n *Node) { n.Counters["broken"] = 1 }, Bad, "invariant"},
		{"differing", func(n *Node) { n.Counters["differing"] = 1 }, Bad, "something else than S3 held"},
		{"mismatches", func(n *Node) { n.Counters["mismatches"] = 1 }, Bad, "not those that were written"},
		{"S3 errors", func(n *Node) { n.Recent = Counts{"s3_requests": 100, "s3_errors": 10} }, Bad, "10 of 100 requests"},
		{"few S3 errors", func(n *Node) { n.Recent = Counts{"s3_requests": 10000, "s3_errors": 1} }, Warn, "1 of 10000 requests"},
		{"slow S3", func(n *Node) { n.Recent = Counts{"s3_requests": 100, "s3_le_1": 50, "s3_le_9": 100} }, Warn, "more than 8.8 s"},
		{"leases", func(n *Node) { n.Recent = Counts{"leases_waited": 2} }, Warn, "waited out 2 leases"},
		{"failures", func(n *Node) { n.Recent = Counts{"failed": 1} }, Warn, "One request failed"},
		{"over a limit", func(n *Node) { n.Recent = Counts{"failed": 3, "over_limit": 3} }, Good, "nothing failed"},
		{"versions", func(n *Node) { n.Version = "v2" }, Warn, "2 versions: v1, v2"},
		{"unsettled", func(n *Node) { n.Gauges["unsettled"] = 1 }, Warn, "has not settled"},
		{"file", func(n *Node) { n.Recent = Counts{"file_errors": 1} }, Warn, "one of its files"},
		{"limit", func(n *Node) { n.Gauges["limit_used"] = 0.95 }, Warn, "95 % of one of its limits"},
		{"certificate", func(n *Node) { n.Gauges["certificate_end"] = 1_800_000_000 + 86400*3 }, Warn, "ends in 3 days"},
		{"memory", func(n *Node) { n.Gauges["resident"], n.Gauges["resident_limit"] = 96, 100 }, Warn, "b takes 96 % of the memory"},
		{"a full memory tier", func(n *Node) { n.Gauges["resident"], n.Gauges["resident_limit"] = 94, 100 }, Good, "All is well"},
		{"disk", func(n *Node) { n.Recent = Counts{"disk_errors": 3, "disk_dropped": 9} }, Warn, "The disk of b failed 3 times"},
		{"slow disk", func(n *Node) { n.Recent = Counts{"disk_written": 50, "disk_dropped": 9} }, Warn, "The disk of b is too slow: 9 chunks"},
		{"connections", func(n *Node) { n.Recent = Counts{"turned_away": 7} }, Warn, "turned 7 connections away"},
	} {
		n := healthy("b")
		tt.change(&n)
		found := judge([]Node{healthy("a"), n}, now)
		if len(found) != 1 || found[0].Level != tt.level || !strings.Contains(found[0].Text, tt.text) {
			t.Errorf("%s: %+v, want %s %q", tt.name, found, tt.level, tt.text)
		}
	}
}
