package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A pool that shrinks takes nothing from who holds something. Whoever comes waits until
// enough has been given back.
func TestAShrunkPoolWaitsUntilGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 100, 0)
		first, second := take(t, p, "a", 50), take(t, p, "b", 40)
		p.Resize(60)
		if p.Held() != 90 || p.Most() != 60 {
			t.Errorf("%d of %d bytes are held, want 90 of 60", p.Held(), p.Most())
		}
		if _, ok := p.TryTake("c", 1, 0); ok {
			t.Error("bytes were given that there are not")
		}
		done := make(chan *Grant, 1)
		go func() {
			g, err := p.Take(t.Context(), "c", 80) // all that there is, now
			if err != nil {
				t.Error(err)
			}
			done <- g
		}()
		synctest.Wait()
		first.Release()
		synctest.Wait()
		if len(done) > 0 {
			t.Error("60 bytes were given while 40 are held of 60")
		}
		second.Release()
		if g := <-done; p.Held() != 60 {
			t.Errorf("%d bytes are held, want 60", p.Held())
		} else {
			g.Release()
		}
	})
}

// A pool that grows serves who waits for it.
func TestAGrownPoolServesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 10, 0)
		take(t, p, "a", 10)
		done := make(chan error, 1)
		go func() {
			_, err := p.Take(t.Context(), "b", 10)
			done <- err
		}()
		synctest.Wait()
		p.Resize(20)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// However a pool is resized while it is used, nothing is lost or given twice, nobody
// waits for what cannot come, and what is held comes down to what there is.
func TestAResizedPoolAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool("tests", 1000, 100)
		var all sync.WaitGroup
		for seed := range uint64(100) {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, 11))
				user := string(rune('a' + r.IntN(5)))
				for range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
					g, err := p.Take(ctx, user, 1+r.Int64N(900))
					switch {
					case err == nil:
						time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
						_ = g.Grow(ctx, r.Int64N(100))
					case !errors.Is(err, ErrBusy):
						t.Error(err)
					}
					g.Release()
					cancel()
				}
			})
		}
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, 13))
			for range 200 {
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				p.Resize(100 + r.Int64N(2000))
			}
		})
		all.Wait()
		if p.Held() != 0 || p.laned || len(p.held) != 0 || len(p.waiting) != 0 {
			t.Errorf("in the end %d bytes are held, lane %t, users %v, %d wait", p.Held(), p.laned, p.held, len(p.waiting))
		}
		take(t, p, "a", p.Most()).Release()
	})
}

// A share of the limit is that, and never less than four chunks.
func TestAShareOfTheLimit(t *testing.T) {
	for _, c := range []struct {
		share       float64
		limit, want int64
	}{{0.5, 4096 * mib, 2048 * mib}, {0.4, 1000 * mib, 400 * mib}, {0.1, 128 * mib, 32 * mib}} {
		s := sizes(0, c.limit, 8*mib)
		s.Share = c.share
		if p := New(s); p.Tier != c.want {
			t.Errorf("%v of %d MiB is a tier of %d bytes, want %d", c.share, c.limit/mib, p.Tier, c.want)
		}
	}
}
