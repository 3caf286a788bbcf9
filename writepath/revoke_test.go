package writepath

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/keys"
	"larder/test/testcluster"
)

// members are a cluster in a bubble of its own time, which answers as the test says.
type members struct {
	Cluster
	answers func(id string, at time.Duration) error // at is the time since the start

	mu    sync.Mutex // guards the fields below
	start time.Time
	there []string
	gone  []cluster.Departure
	told  []string // who has acknowledged
}

func memberOf(id string) cluster.Member { return cluster.Member{Name: id, ID: id} }

func (m *members) Self() cluster.Member { return memberOf("self") }

func (m *members) Members() (all []cluster.Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range append([]string{"self"}, m.there...) {
		all = append(all, memberOf(id))
	}
	return all
}

func (m *members) Departed(time.Duration) []cluster.Departure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

func (m *members) Gossip([]byte) {}

func (m *members) Fanout(_ context.Context, asked []cluster.Member, _, _ string) (acks []cluster.Ack) {
	for _, a := range asked {
		err := m.answers(a.ID, time.Since(m.start))
		if err == nil {
			m.mu.Lock()
			m.told = append(m.told, a.ID)
			m.mu.Unlock()
		}
		acks = append(acks, cluster.Ack{Member: a, Err: err})
	}
	return acks
}

// Rule 10: how long a write waits, until no lease that was granted before it began
// can be left.
func TestRevocationsAreWaitedFor(t *testing.T) {
	const lease = 10 * time.Minute
	const whole = lease + lease/100 + 10*time.Millisecond
	silent, busy := errors.New("silent"), &cluster.Refused{Status: http.StatusConflict}
	until := func(d time.Duration, err error) func(string, time.Duration) error {
		return func(id string, at time.Duration) error {
			if id == "a" && at < d {
				return err
			}
			return nil
		}
	}
	died := func(id string, before time.Duration) func(*members) {
		return func(m *members) {
			m.gone = append(m.gone, cluster.Departure{Member: memberOf(id), At: time.Now().Add(-before)})
		}
	}
	for name, c := range map[string]struct {
		answers   func(id string, at time.Duration) error
		before    func(*members) // the begin
		meanwhile func(*members) // a minute after it
		want      time.Duration
	}{
		"all acknowledge":            {answers: until(0, nil), want: 0},
		"one is silent":              {answers: until(24*time.Hour, silent), want: whole},
		"one is silent for a minute": {answers: until(time.Minute, silent), want: time.Minute},
		"one is busy":                {answers: until(3*lease, busy), want: 3 * lease},
		"one died just before":       {answers: until(0, nil), before: died("dead", 0), want: whole},
		"one died a while before":    {answers: until(0, nil), before: died("dead", lease/2), want: whole - lease/2},
		"one died long before":       {answers: until(0, nil), before: died("dead", lease+lease/100+time.Second), want: 0},
		"one that was told died":     {answers: until(0, nil), before: died("b", 0), want: 0},
		"one dies that is silent": {answers: until(24*time.Hour, silent), want: whole, meanwhile: func(m *members) {
			m.there = []string{"b"}
			died("a", 0)(m)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &members{answers: c.answers, there: []string{"a", "b"}, start: time.Now()}
				if c.before != nil {
					c.before(m)
				}
				p := New(Config{Lease: lease, Plan: planOf(256<<20, testChunk), ChunkSize: testChunk, MaxObject: 32 << 20, Log: zerolog.Nop()}, nil, nil, nil, m)
				if c.meanwhile != nil {
					time.AfterFunc(time.Minute, func() {
						m.mu.Lock()
						defer m.mu.Unlock()
						c.meanwhile(m)
					})
				}
				began := time.Now()
				if err := p.revoke(t.Context(), keys.Key{Name: "k"}, began); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < c.want || took > c.want+tellAgain {
					t.Errorf("took %s, want %s", took, c.want)
				}
			})
		})
	}
}

// Rule 10: who comes meanwhile is told too, and who runs out of patience has not written.
func TestARevocationThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &members{there: []string{"a", "b"}, start: time.Now()}
		m.answers = func(id string, at time.Duration) error {
			if id == "a" && at < time.Minute {
				m.mu.Lock()
				m.there = []string{"a", "b", "new"}
				m.mu.Unlock()
				return errors.New("silent")
			}
			return nil
		}
		p := New(Config{Lease: time.Hour, Plan: planOf(256<<20, testChunk), ChunkSize: testChunk, MaxObject: 32 << 20, Log: zerolog.Nop()}, nil, nil, nil, m)
		if err := p.revoke(t.Context(), keys.Key{Name: "k"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(m.told)
		if !slices.Equal(m.told, []string{"a", "b", "new"}) {
			t.Errorf("told %q", m.told)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m.start = time.Now()
		if err := p.revoke(ctx, keys.Key{Name: "k"}, time.Now()); !errors.Is(err, ErrNotApplied) {
			t.Errorf("out of patience: %v", err)
		}
	})
}

// Rule 10: nobody is told of a write of what nobody may hold a lease on, and everybody once
// somebody has read it.
func TestNobodyIsToldOfWhatNobodyHolds(t *testing.T) {
	nodes := startCluster(t, 3, 2*time.Second)
	owner := nodes[0]
	k := keyOwnedBy(t, owner)
	testcluster.Soon(t, func() error {
		before := owner.path.Stats().Acknowledged
		mustPut(t, owner, k, "v1")
		if told := owner.path.Stats().Acknowledged - before; told > 0 {
			return fmt.Errorf("%d members were told", told)
		}
		return nil
	})
	owner.cluster.setDeaf("node-1", "node-2")
	mustPut(t, owner, k, "v2")
	if s := owner.path.Stats(); s.Silent > 0 {
		t.Errorf("asked members: %+v", s)
	}
	for i, n := range nodes {
		if got := get(t, n, k); got != "v2" {
			t.Errorf("node %d answers %q", i, got)
		}
	}
	mustPut(t, owner, k, "v3")
	if s := owner.path.Stats(); s.SilentWaitedOut != 2 {
		t.Errorf("not waited for members that hold a lease: %+v", s)
	}
	for i, n := range nodes {
		if got := get(t, n, k); got != "v3" {
			t.Errorf("node %d answers %q", i, got)
		}
	}
}
