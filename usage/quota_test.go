package usage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"larder/store"
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

// Near a limit it matters what is there: if that cannot be told, nothing is refused for
// the limit.
func TestWhatIsThereCannotBeTold(t *testing.T) {
	n := newNetwork(t, "- {org: acme, max_bytes: 1000}")
	m := n.add()
	if err := m.put(t.Context(), key(t, "a"), "ada", 900); err != nil {
		t.Fatal(err)
	}
	for want, was := range map[error]func() (*store.Head, error){
		store.ErrUnavailable: func() (*store.Head, error) { return nil, store.ErrUnavailable },
		ErrQuota:             func() (*store.Head, error) { return nil, nil },
		nil:                  func() (*store.Head, error) { return &store.Head{Size: 900}, nil },
	} {
		if _, err := m.Fits(t.Context(), "acme", 500, was); !errors.Is(err, want) || want != ErrQuota && errors.Is(err, ErrQuota) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// Whoever asks first what an org has, and gives up, does not take the answer from
// others who wait for it.
func TestWhoGivesUpFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "- {org: acme, max_bytes: 100}")
		if err := n.add().put(t.Context(), key(t, "k"), "ada", 90); err != nil {
			t.Fatal(err)
		}
		m := n.add()
		if err := m.walk(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		n.members = nil
		late := n.add()
		st := &silent{n.store, make(chan struct{})}
		late.Usage = New(n.policy, st, late, zerolog.Nop())
		first, giveUp := context.WithCancel(t.Context())
		go late.known(first, "acme")
		synctest.Wait()
		refused := make(chan error, 1)
		go func() {
			_, err := late.Reserve(t.Context(), key(t, "more"), nil, &store.Head{Size: 50})
			refused <- err
		}()
		synctest.Wait()
		giveUp()
		synctest.Wait()
		close(st.answer)
		if err := <-refused; !errors.Is(err, ErrQuota) {
			t.Errorf("50 bytes more than 90 of 100: %v", err)
		}
	})
}
