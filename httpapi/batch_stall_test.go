package httpapi

import (
	"bufio"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"larder/budget"
)

// A caller who takes nothing of a batch is cut off while others wait, also if a part is not
// ready yet.
func TestStalledBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, grant := takeAll(t)
		fromUs, toCaller := io.Pipe() // nobody reads
		holder := pool.Hold(func() { _ = fromUs.Close() })
		b := &getBatch{buffered: bufio.NewWriter(newCallerWriter(toCaller, holder))}
		_, _ = b.buffered.WriteString("what came before")
		sent := make(chan error, 1)
		go func() {
			defer grant.Release()
			defer holder.Done()
			sent <- b.send(t.Context(), &getPart{ready: make(chan struct{})})
		}()
		other, err := pool.Take(t.Context(), "acme/next", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		other.Release()
		if err := <-sent; err == nil {
			t.Error("the batch went on")
		}
	})
}

// A caller who takes all that there is of a batch is not cut off while the next of it is
// read, however long that takes.
func TestBatchThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, grant := takeAll(t)
		holder := pool.Hold(func() { t.Error("the caller was cut off") })
		w := newCallerWriter(io.Discard, holder)
		go func() {
			defer grant.Release()
			defer holder.Done()
			for range 3 {
				_, _ = w.Write([]byte("a part"))
				time.Sleep(5 * time.Second)
			}
		}()
		other, err := pool.Take(t.Context(), "acme/next", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		other.Release()
	})
}

// takeAll is a pool, and all of its memory.
func takeAll(t *testing.T) (*budget.Pool, *budget.Grant) {
	t.Helper()
	pool := budget.NewPool("bodies", 1<<20, 0)
	grant, err := pool.Take(t.Context(), "acme/slow", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return pool, grant
}
