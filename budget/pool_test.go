package budget

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func take(t *testing.T, p *Pool, user string, n int64) *Grant {
	t.Helper()
	g, ok := p.TryTake(user, n, 0)
	if !ok {
		t.Fatalf("%s got no %d bytes of %d free", user, n, p.free())
	}
	return g
}

func TestNobodyHoldsAll(t *testing.T) {
	p := NewPool("tests", 100, 0)
	for range 7 {
		take(t, p, "org/greedy", 10)
	}
	if _, ok := p.TryTake("org/greedy", 10, 0); ok {
		t.Error("one user holds more than three times what is left")
	}
	take(t, p, "org/modest", 10)
	take(t, p, "org/modest", 10)
}

// Users of one org, however many, leave another org its part, and each other theirs. As
// long as there is one org, nothing is kept for others.
func TestNoOrgHoldsAll(t *testing.T) {
	p := NewPool("tests", 100, 0)
	fill := func(org string) (n int64) {
		for i := range 50 {
			if _, ok := p.TryTake(fmt.Sprintf("%s/%d", org, i%20), 2, 0); ok {
				n += 2
			}
		}
		return n
	}
	if n := fill("one"); n < 90 {
		t.Errorf("the only org holds %d of 100", n)
	}

	p = NewPool("tests", 100, 0)
	take(t, p, "other/a", 2).Release()
	greedy := 0
	for {
		if _, ok := p.TryTake("one/greedy", 2, 0); !ok {
			break
		}
		greedy += 2
	}
	if n := fill("one"); greedy > 60 || n < 10 || greedy+int(n) > 75 {
		t.Errorf("one user of an org holds %d of 100, and others of it %d", greedy, n)
	}
	if n := fill("other"); n < 16 {
		t.Errorf("another org holds %d of 100", n)
	}
}

// What has no user is counted once, for its org; and what is of no org is not another org for
// which memory is left from then on.
func TestBytesWithoutAUser(t *testing.T) {
	fill := func(p *Pool, user string) (n int64) {
		for {
			if _, ok := p.TryTake(user, 1, 0); !ok {
				return n
			}
			n++
		}
	}
	p := NewPool("tests", 100, 0)
	take(t, p, "", 10).Release()
	if n := fill(p, "one/a") + fill(p, "one/b"); n < 90 {
		t.Errorf("after a chunk that was no org's, the only org holds %d of 100", n)
	}
	p = NewPool("tests", 100, 0)
	if n := fill(p, ""); n != 75 {
		t.Errorf("chunks that are no org's hold %d of 100, want 75", n)
	}
	p = NewPool("tests", 100, 0)
	take(t, p, "other/a", 1).Release()
	if n := fill(p, "one"); n != 75 {
		t.Errorf("an org as a whole holds %d of 100, want 75", n)
	}
	if n := fill(p, ""); n < 18 {
		t.Errorf("chunks that are no org's hold %d of the 25 that are left", n)
	}
}

// Where there is room for two, the second is for another org.
func TestASmallPoolIsSharedByOrgs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 20, 0)
		first := take(t, p, "one/a", 10)
		second := take(t, p, "one/b", 10)
		served := make(chan string, 3)
		var all sync.WaitGroup
		for _, user := range []string{"one/c", "one/d", "other/a"} {
			all.Go(func() {
				g, err := p.Take(t.Context(), user, 10)
				if err != nil {
					t.Errorf("%s: %v", user, err)
				}
				served <- user
				time.Sleep(time.Second)
				g.Release()
			})
			synctest.Wait()
		}
		first.Release()
		synctest.Wait()
		if user := <-served; user != "other/a" {
			t.Errorf("%s was served before another org", user)
		}
		second.Release()
		all.Wait()
	})
}

func TestWhoHoldsLeastIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 100, 0)
		first, second := take(t, p, "a", 50), take(t, p, "b", 50)
		order := make(chan string, 3)
		for _, user := range []string{"a", "b", "c"} {
			go func() {
				g, err := p.Take(t.Context(), user, 40)
				if err != nil {
					t.Errorf("%s: %v", user, err)
				}
				order <- user
				g.Release()
			}()
			synctest.Wait()
		}
		first.Release()
		synctest.Wait()
		if got := <-order; got != "a" && got != "c" {
			t.Errorf("%s was served first, who holds most", got)
		}
		second.Release()
		<-order
		<-order
		if p.Held() != 0 || len(p.held) != 0 {
			t.Errorf("%d bytes held by %v when all is released", p.Held(), p.held)
		}
	})
}

func TestWaitsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 10, 0)
		g := take(t, p, "a", 10)
		began := time.Now()
		if _, err := p.Take(t.Context(), "b", 10); !errors.Is(err, ErrBusy) {
			t.Errorf("a wait without end ends with %v", err)
		}
		if d := time.Since(began); d < waitLimit || d > waitLimit+2*checkEvery {
			t.Errorf("a wait lasts %s", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Take(ctx, "b", 10); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that leaves gets %v", err)
		}
		g.Release()
		take(t, p, "b", 10).Release()
	})
}

// Two who hold a part each and need the rest would wait for each other.
func TestOneOfThoseWhoGrowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 20, 20)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				g, err := p.Take(t.Context(), "a", 4)
				for range 4 {
					time.Sleep(time.Second) // bytes arrive
					if err == nil {
						err = g.Grow(t.Context(), 4)
					}
				}
				if err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				g.Release()
			})
		}
		all.Wait()
		if p.Held() != 0 || p.laned {
			t.Error("bytes are held when all is released")
		}
	})
}

func TestWhoStallsIsCutOffForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 20, 0)
		cut := map[string]time.Duration{}
		began := time.Now()
		hold := func(user string) *Holder {
			g := take(t, p, user, 10)
			return p.Hold(func() {
				cut[user] = time.Since(began)
				go g.Release()
			})
		}
		moves := hold("moves")
		hold("stalls")
		time.Sleep(time.Minute)
		if len(cut) > 0 {
			t.Errorf("%v cut off though nobody waits", cut)
		}
		moves.Moved(leastMove)
		g, err := p.Take(t.Context(), "waits", 10)
		if err != nil {
			t.Fatal(err)
		}
		g.Release()
		if _, ok := cut["stalls"]; !ok || len(cut) != 1 {
			t.Errorf("cut off: %v, want who stalls", cut)
		}
		moves.Done()
	})
}

// The time in which a holder waits itself is not held against him, and gives him none either.
func TestOnlyTheTimeThatOthersWaitForAHolderCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 10, 0)
		g := take(t, p, "holds", 10)
		isCut := make(chan struct{})
		h := p.Hold(func() {
			close(isCut)
			go g.Release()
		})
		h.Waits()
		taken := make(chan error, 1)
		go func() {
			other, err := p.Take(t.Context(), "waits", 10)
			other.Release()
			taken <- err
		}()
		for range 3 { // a second and a half in all
			h.Resumes()
			time.Sleep(stallLimit / 4)
			h.Moved(1)
			h.Waits()
			h.Waits()
			time.Sleep(2 * stallLimit)
		}
		select {
		case <-isCut:
			t.Fatal("cut off for the time in which it waited itself")
		default:
		}
		h.Resumes()
		if err := <-taken; err != nil {
			t.Errorf("whoever moves one byte at a time is not cut off: %v", err)
		}
	})
}

// Nothing is lost or given twice, whatever comes when.
func TestPoolAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		p := NewPool("tests", most, 100)
		var all sync.WaitGroup
		for seed := range uint64(200) {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, 7))
				user := string(rune('a'+r.IntN(2))) + "/" + string(rune('a'+r.IntN(3)))
				for range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(5000))*time.Millisecond)
					g, err := p.Take(ctx, user, 1+r.Int64N(300))
					if err == nil {
						time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
						_ = g.Grow(ctx, r.Int64N(100))
						if held := p.Held(); held > most {
							t.Errorf("%d of %d bytes held", held, most)
						}
					}
					g.Release()
					cancel()
				}
			})
		}
		all.Wait()
		if p.Held() != 0 || p.laned || len(p.held) != 0 || len(p.waiting) != 0 {
			t.Errorf("in the end %d bytes are held, lane %t, users %v, %d wait", p.Held(), p.laned, p.held, len(p.waiting))
		}
	})
}
