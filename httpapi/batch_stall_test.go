package httpapi

import (
	"bufio"
	"io"
	"testing"
	"testing/synctest"

	"larder/budget"
)

// A caller who takes nothing of a batch is cut off while others wait, also if a part is not
// ready yet.
func TestStalledBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := budget.NewPool("bodies", 1<<20, 0)
		grant, err := pool.Take(t.Context(), "acme/slow", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		fromUs, toCaller := io.Pipe() // nobody reads
		holder := pool.Hold(func() { _ = fromUs.Close() })
		b := &getBatch{buffered: bufio.NewWriter(toCaller)}
		_, _ = b.buffered.WriteString("what came before")
		sent := make(chan error, 1)
		go func() {
			defer grant.Release()
			defer holder.Done()
			sent <- b.send(t.Context(), &getPart{ready: make(chan struct{})}, holder)
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
