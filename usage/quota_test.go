package usage

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// However many write at once at three nodes, an org has what it may have, nearly all
// of it, and not a byte more.
func TestLimitHolds(t *testing.T) {
	n := newNetwork(t, "- {org: acme, max_bytes: 100000, max_objects: 150}")
	members := []*member{n.add(), n.add(), n.add()}
	var wg sync.WaitGroup
	var refused atomic.Int64
	for writer := range 30 {
		wg.Go(func() {
			for i := range 20 {
				err := members[writer%3].put(t.Context(), key(t, fmt.Sprintf("%d-%d", writer, i)), "ada", 1000)
				if errors.Is(err, ErrQuota) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	there := n.there()
	if there.Bytes > 100_000 || there.Bytes < 90_000 || refused.Load() != 600-there.Objects {
		t.Errorf("%+v are there, %d were refused", there, refused.Load())
	}
}
