package usage

import (
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFair(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct{ wants, parts []float64 }{
		{nil, []float64{}},
		{[]float64{0}, []float64{12}},
		{[]float64{inf}, []float64{12}},
		{[]float64{inf, inf, inf}, []float64{4, 4, 4}},
		{[]float64{1, inf, inf}, []float64{1, 5.5, 5.5}},
		{[]float64{inf, 2, 3}, []float64{7, 2, 3}},
		{[]float64{1, 2, 3}, []float64{3, 4, 5}}, // 6 are left
		{[]float64{10, 10}, []float64{6, 6}},
	} {
		if got := fair(12, c.wants); !slices.Equal(got, c.parts) {
			t.Errorf("of 12 those who want %v get %v, want %v", c.wants, got, c.parts)
		}
	}
}

// load has a user ask at a member until the end, from several threads, and counts what
// he gets.
func load(t *testing.T, wg *sync.WaitGroup, m *member, user string, threads int, until time.Time, pause time.Duration, bytes int64) *atomic.Int64 {
	var served atomic.Int64
	for range threads {
		wg.Go(func() {
			for time.Now().Before(until) {
				err := m.Admit(t.Context(), "acme", user)
				if err == nil {
					err = m.Charge("acme", user, bytes)
				}
				var later Later
				switch {
				case err == nil:
					served.Add(1)
					time.Sleep(pause)
				case errors.Is(err, ErrRate) && errors.As(err, &later) && later.After >= time.Second:
					time.Sleep(later.After)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	return &served
}

// The rate of an org holds over three nodes, nobody's threads take another's part, and
// what one does not want is for the others.
func TestRateIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, requests_per_second: 100}")
		members := []*member{n.add(), n.add(), n.add()}
		var stops []func()
		for _, m := range members {
			stops = append(stops, running(t, m))
		}
		const seconds = 60
		until := time.Now().Add(seconds * time.Second)
		var wg sync.WaitGroup
		greedy := []*atomic.Int64{}
		for _, m := range members {
			greedy = append(greedy, load(t, &wg, m, "ada", 33, until, time.Millisecond, 0))
		}
		modest := load(t, &wg, members[0], "bob", 1, until, 100*time.Millisecond, 0)
		also := load(t, &wg, members[1], "eve", 20, until, time.Millisecond, 0)
		wg.Wait()
		all := modest.Load() + also.Load()
		adas := int64(0)
		for _, g := range greedy {
			adas += g.Load()
		}
		all += adas
		t.Logf("ada %d %d %d, bob %d, eve %d", greedy[0].Load(), greedy[1].Load(), greedy[2].Load(), modest.Load(), also.Load())
		if all > 101*seconds+200 || all < 90*seconds {
			t.Errorf("%d requests in %d s, want %d", all, seconds, 100*seconds)
		}
		if modest.Load() < 8*seconds { // who asks ten times a second gets that
			t.Errorf("the modest user has %d answers", modest.Load())
		}
		if e := also.Load(); e < 35*seconds || adas < 35*seconds {
			t.Errorf("two greedy users have %d and %d, want the same", e, adas)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// Bytes hold on average, and an object larger than a second's bytes passes.
func TestBytesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, bytes_per_second: 1MB}")
		members := []*member{n.add(), n.add()}
		stops := []func(){running(t, members[0]), running(t, members[1])}
		const seconds = 100
		until := time.Now().Add(seconds * time.Second)
		var wg sync.WaitGroup
		large := load(t, &wg, members[0], "ada", 10, until, time.Millisecond, 5_000_000)
		small := load(t, &wg, members[1], "bob", 10, until, time.Millisecond, 10_000)
		wg.Wait()
		moved := large.Load()*5_000_000 + small.Load()*10_000
		if moved > 111_000_000 || moved < 80_000_000 { // 10 s more, and an object
			t.Errorf("%d bytes in %d s, want %d", moved, seconds, seconds*1_000_000)
		}
		if small.Load() < 35*seconds {
			t.Errorf("the reader of small objects had %d", small.Load())
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// When nobody wants anything at a node any more, all others hear of it.
func TestAllHearOfTheLastUsersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, requests_per_second: 100}")
		members := []*member{n.add(), n.add(), n.add()}
		for _, m := range members {
			defer running(t, m)()
		}
		if err := members[0].Admit(t.Context(), "acme", "ada"); err != nil {
			t.Fatal(err)
		}
		for _, after := range []struct {
			wait time.Duration
			orgs int
		}{{2 * roundEvery, 1}, {idleAfter + 3*roundEvery, 0}} {
			time.Sleep(after.wait)
			for i, m := range members {
				m.rates.mu.Lock()
				if len(m.rates.orgs) != after.orgs {
					t.Errorf("after %s member %d knows of users of %d orgs, want %d", after.wait, i, len(m.rates.orgs), after.orgs)
				}
				m.rates.mu.Unlock()
			}
		}
	})
}

// Rates are on the path of every request.
func TestRatesTakeNoMemory(t *testing.T) {
	m := newNetwork(t, "- {org: acme, requests_per_second: 1e9, bytes_per_second: 1e15}").add()
	n := testing.AllocsPerRun(100, func() {
		if err := errors.Join(m.Admit(t.Context(), "acme", "ada"), m.Charge("acme", "ada", 10)); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
