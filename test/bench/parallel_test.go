package bench

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

// parallel calls do for 0 to n-1, so many at once, until one fails.
func parallel(b *testing.B, atOnce, n int, do func(i int) error) {
	b.Helper()
	// The default keeps two connections, and would dial for all others.
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 1024
	http.DefaultTransport.(*http.Transport).MaxIdleConns = 0
	if err := inParallel(atOnce, n, do); err != nil {
		b.Fatal(err)
	}
}

func inParallel(atOnce, n int, do func(i int) error) error {
	var g errgroup.Group
	var next, failed atomic.Int64
	for range atOnce {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == 0; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed.Add(1)
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func TestInParallel(t *testing.T) {
	var done [100]atomic.Int64
	if err := inParallel(7, len(done), func(i int) error { done[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range done {
		if n := done[i].Load(); n != 1 {
			t.Errorf("%d was done %d times", i, n)
		}
	}
	bad := errors.New("bad")
	var calls atomic.Int64
	err := inParallel(1, 100, func(i int) error {
		calls.Add(1)
		if i == 3 {
			return bad
		}
		return nil
	})
	if !errors.Is(err, bad) || calls.Load() != 4 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}
