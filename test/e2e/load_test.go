package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
)

// settle is the number of requests through each loop that must have been
// answered in a state of the cluster before the next state.
const settle = 15

// load is requests in loops, none of which may fail.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup
	loops  []*atomic.Int64 // the answers of each loop

	mu   sync.Mutex // guards errs
	errs []error
}

// startLoad runs loops until stop.
func startLoad(t *testing.T, loops ...func(ctx context.Context, i int) error) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, cancel: cancel}
	for _, once := range loops {
		count := &atomic.Int64{}
		l.loops = append(l.loops, count)
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := once(ctx, i); err != nil && ctx.Err() == nil {
					l.failed(err)
				}
				count.Add(1)
			}
		})
	}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	return l
}

func (l *load) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) < 10 {
		l.errs = append(l.errs, fmt.Errorf("%s: %w", time.Now().Format("15:04:05.000"), err))
	}
}

// settle waits until every loop has gone round some more.
func (l *load) settle() {
	l.t.Helper()
	var from []int64
	for _, c := range l.loops {
		from = append(from, c.Load())
	}
	testcluster.Eventually(l.t, time.Minute, "requests are answered", func() error {
		for i, c := range l.loops {
			if c.Load() < from[i]+settle {
				return fmt.Errorf("loop %d had %d answers", i, c.Load()-from[i])
			}
		}
		return nil
	})
}

// stop ends the loops and fails the test if any request failed.
func (l *load) stop(during string) {
	l.t.Helper()
	l.cancel()
	l.wg.Wait()
	if err := errors.Join(l.errs...); err != nil {
		l.t.Fatalf("requests failed while %s:\n%v", during, err)
	}
}

// objects are keys and their bytes.
type objects map[string][]byte

// putObjects puts some objects through a node.
func putObjects(t *testing.T, n *testcluster.Node, prefix string, count, size int) objects {
	t.Helper()
	all := objects{}
	for i := range count {
		key := prefix + strconv.Itoa(i)
		all[key] = noise(uint64(i), size)
		do(t, http.MethodPut, object(n, key), all[key]).want(t, http.StatusCreated)
	}
	return all
}

// reader reads the objects in turn through a node.
func (o objects) reader(n *testcluster.Node, prefix string) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		key := prefix + strconv.Itoa(i%len(o))
		a, err := send(ctx, http.MethodGet, object(n, key), nil)
		if err != nil {
			return fmt.Errorf("get %s through %s: %w", key, n.Name, err)
		}
		if a.status != http.StatusOK || !bytes.Equal(a.body, o[key]) {
			return fmt.Errorf("get %s through %s: status %d, %d bytes: %.200s", key, n.Name, a.status, len(a.body), a.body[:min(200, len(a.body))])
		}
		return nil
	}
}

// writer writes keys of its own through a node, and reads each back through another.
func writer(through, back *testcluster.Node, prefix string) func(context.Context, int) error {
	return func(ctx context.Context, i int) error {
		key := prefix + strconv.Itoa(i%7)
		body := []byte(prefix + strconv.Itoa(i))
		a, err := send(ctx, http.MethodPut, object(through, key), body)
		if err != nil {
			return fmt.Errorf("put %s through %s: %w", key, through.Name, err)
		}
		if a.status != http.StatusOK && a.status != http.StatusCreated {
			return fmt.Errorf("put %s through %s: status %d: %.300s", key, through.Name, a.status, a.body)
		}
		if a, err = send(ctx, http.MethodGet, object(back, key), nil); err != nil {
			return fmt.Errorf("get %s through %s: %w", key, back.Name, err)
		}
		if a.status != http.StatusOK || !bytes.Equal(a.body, body) {
			return fmt.Errorf("get %s through %s: status %d, %q, want %q", key, back.Name, a.status, a.body, body)
		}
		return nil
	}
}
