package usage

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"larder/cluster"
	"larder/keys"
)

// Where many have written, members tell each other more seldom what each has, and no more
// lines a second than with few; in the end all know all.
func TestToldByLines(t *testing.T) {
	const members, seconds = 20, 12
	for _, writers := range []int{1, maxWriters} {
		t.Run(fmt.Sprint(writers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t, "[]")
				a, b := n.add(), n.add()
				for range members - 2 {
					n.add().handlers[tellRoute] = func(context.Context, cluster.Asked) cluster.Answer {
						return cluster.Answer{Status: http.StatusOK, Text: []byte("{}")}
					}
				}
				for i := range writers {
					a.holding("acme").add(account{keys.Objects, fmt.Sprint("writer-", i)}, Sum{Bytes: 1, Objects: 1})
				}
				var tells atomic.Int64
				handle := b.handlers[tellRoute]
				b.handlers[tellRoute] = func(ctx context.Context, asked cluster.Asked) cluster.Answer {
					tells.Add(1)
					return handle(ctx, asked)
				}
				stop := running(t, a)
				for i := range seconds {
					if err := a.put(t.Context(), key(t, "again"), "writer-0", 1+i); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				seldom := max(1, members*writers/toldLines)
				told := int(tells.Load())
				if most := seconds/seldom + 1; told < most/2 || told > most {
					t.Errorf("with %d writers, told %d times in %d s; want %d to %d", writers, told, seconds, most/2, most)
				}
				time.Sleep(time.Duration(seldom+1) * time.Second)
				b.mu.Lock()
				got := b.holding("acme").others[a.self.ID].total
				b.mu.Unlock()
				a.mu.Lock()
				want := a.holding("acme").mine.total()
				a.mu.Unlock()
				if got != want {
					t.Errorf("with %d writers, a member was told of %+v in the end; want %+v", writers, got, want)
				}
				stop()
			})
		})
	}
}
