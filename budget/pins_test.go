package budget

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
)

// Who waits for a chunk that somebody else was to get room for asks for room
// himself when that one leaves, also while others have yet to notice.
func TestHoldOutlivesWhoWaitedFirst(t *testing.T) {
	const large = 2 * FreeLen
	p := NewPins[int](NewPool("tests", 2*large, 0), nil)
	all, err := p.Hold(t.Context(), "a", 1, 2*large)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := p.Hold(ctx, "a", 2, large+1)
		left <- err
	}()
	waits := func() *Pin[int] {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.held[2]
	}
	for waits() == nil { // until somebody waits for room
		runtime.Gosched()
	}
	slow := waits().Again() // has yet to notice what comes
	defer slow.Release()
	leave()
	if err := <-left; !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	all.Release()
	next := make(chan *Pin[int], 1)
	go func() {
		h, _ := p.Hold(t.Context(), "a", 2, large+1)
		next <- h
	}()
	h := <-next
	if h == nil {
		t.Fatal("refused although there is room")
	}
	h.Release()
	if p.pool.Held() > 0 {
		t.Error("not all room was given back")
	}
}

// pinsOf are the pins of chunks on their way to callers beside a tier.
func pinsOf(tier, chunk int64) *Pins[int] {
	p := New(Sizes{Tier: tier, Limit: 64 << 30, Chunk: chunk, Part: chunk})
	return NewPins[int](NewPool("tests", p.Streams, 0), NewPool("tests", p.Resident, 0))
}

// A small node bears eight slow readers of large objects, of several users, and
// what is fetched ahead for some keeps no other from its next chunk.
func TestSlowReadersOfASmallNode(t *testing.T) {
	const chunk = 8 << 20
	p := pinsOf(4*chunk, chunk)
	ahead := 0
	for ; ahead < 8; ahead++ {
		if _, ok := p.HoldAhead("a", ahead, chunk); !ok {
			break
		}
	}
	if ahead != 6 {
		t.Errorf("%d chunks were fetched ahead", ahead)
	}
	for i, user := range []string{"b", "c"} {
		if _, err := p.Hold(t.Context(), user, 10+i, chunk); err != nil {
			t.Error(err)
		}
	}
	if _, ok := p.HoldAtOnce("d", 20, chunk); ok {
		t.Error("there is room for more")
	}
}

// What the memory tier has takes no memory from those who read what it does not
// have, and no user takes all of either.
func TestResidentChunksTakeNoStreams(t *testing.T) {
	const chunk = 8 << 20
	p := pinsOf(32*chunk, chunk)
	n := 0
	for ; n < 100; n++ {
		if _, ok := p.HoldResident("slow", n, chunk); !ok {
			break
		}
	}
	if p.pool.Held() > 0 || n < 1 || int64(n)*chunk >= p.resident.Most() {
		t.Errorf("%d chunks of the tier hold %d bytes of streams, of %d", n, p.pool.Held(), p.resident.Most())
	}
	if _, ok := p.HoldResident("another", n+1, chunk); !ok {
		t.Error("one user has all")
	}
}

// Who takes nothing of a chunk while others wait for its memory is cut off.
func TestAStalledCallerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunk = 8 << 20
		p := NewPins[int](NewPool("tests", chunk, 0), nil)
		held, err := p.Hold(t.Context(), "slow", 1, chunk)
		if err != nil {
			t.Fatal(err)
		}
		isCut := make(chan struct{})
		holder := held.Watch(func() { close(isCut) })
		go func() {
			<-isCut // until then it takes nothing
			holder.Done()
			held.Release()
		}()
		next, err := p.Hold(t.Context(), "next", 2, chunk)
		if err != nil {
			t.Fatal(err)
		}
		next.Release()
		if p.Held() > 0 {
			t.Errorf("%d bytes are held", p.pool.Held())
		}
	})
}
