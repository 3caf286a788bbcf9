package fill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"larder/budget"
	"larder/cluster"
	"larder/store"
)

// Who waits for a chunk that somebody else was to get room for asks for room
// himself when that one leaves, also while others have yet to notice.
func TestHoldOutlivesWhoWaitedFirst(t *testing.T) {
	k, p := newKey(t), newPins(budget.NewPool("tests", 2*testChunk, 0), nil)
	all, err := p.hold(t.Context(), "a", chunkID{newKey(t), 0}, 2*testChunk)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := p.hold(ctx, "a", chunkID{k, 0}, testChunk+1)
		left <- err
	}()
	waits := func() *pin {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.held[chunkID{k, 0}]
	}
	within(t, "somebody waits for room", func() bool { return waits() != nil })
	slow := waits().again() // has yet to notice what comes
	defer slow.release()
	leave()
	if err := <-left; !errors.Is(err, budget.ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	all.release()
	next := make(chan *pin, 1)
	go func() {
		h, _ := p.hold(t.Context(), "a", chunkID{k, 0}, testChunk+1)
		next <- h
	}()
	var h *pin
	within(t, "the next gets the room", func() bool {
		select {
		case h = <-next:
			return true
		default:
			return false
		}
	})
	if h == nil {
		t.Fatal("refused although there is room")
	}
	h.release()
	if p.pool.Held() > 0 {
		t.Error("not all room was given back")
	}
}

// An owner without memory for a chunk does not say that the store is unavailable:
// who asked it reads the store itself.
func TestBusyIsNoVerdict(t *testing.T) {
	busy := outOfTime(fmt.Errorf("%w: %w", budget.ErrBusy, context.DeadlineExceeded))
	if !errors.Is(busy, budget.ErrBusy) || errors.Is(busy, store.ErrUnavailable) {
		t.Error(busy)
	}
	if err := peerError(cluster.Member{}, refusal(busy)); errors.Is(err, errOwnerSays) {
		t.Error(err)
	}
	if err := peerError(cluster.Member{}, refusal(outOfTime(context.DeadlineExceeded))); !errors.Is(err, errOwnerSays) || !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// A small node bears eight slow readers of large objects, of several users, and
// what is fetched ahead for some keeps no other from its next chunk.
func TestSlowReadersOfASmallNode(t *testing.T) {
	const chunk = 8 << 20
	p := newBudgets(planOf(4*chunk, chunk)).streams
	ahead := 0
	for ; ahead < 8; ahead++ {
		if _, ok := p.holdAhead("a", chunkID{newKey(t), 0}, chunk); !ok {
			break
		}
	}
	if ahead != 6 {
		t.Errorf("%d chunks were fetched ahead", ahead)
	}
	for _, user := range []string{"b", "c"} {
		if _, err := p.hold(t.Context(), user, chunkID{newKey(t), 0}, chunk); err != nil {
			t.Error(err)
		}
	}
	if _, ok := p.tryHold(p.pool, "d", chunkID{newKey(t), 0}, chunk, 0); ok {
		t.Error("there is room for more")
	}
}

// What the memory tier has takes no memory from those who read what it does not
// have, and no user takes all of either.
func TestResidentChunksTakeNoStreams(t *testing.T) {
	const chunk = 8 << 20
	p := newBudgets(planOf(32*chunk, chunk)).streams
	n := 0
	for ; n < 100; n++ {
		if _, ok := p.holdResident("slow", chunkID{newKey(t), 0}, chunk); !ok {
			break
		}
	}
	if p.pool.Held() > 0 || n < 1 || int64(n)*chunk >= p.resident.Most() {
		t.Errorf("%d chunks of the tier hold %d bytes of streams, of %d", n, p.pool.Held(), p.resident.Most())
	}
	if _, ok := p.holdResident("another", chunkID{newKey(t), 0}, chunk); !ok {
		t.Error("one user has all")
	}
}

// Who takes nothing of a chunk while others wait for its memory is cut off.
func TestAStalledCallerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chunk = 8 << 20
		p := newPins(budget.NewPool("tests", chunk, 0), nil)
		held, err := p.hold(t.Context(), "slow", chunkID{n: 1}, chunk)
		if err != nil {
			t.Fatal(err)
		}
		isCut := make(chan struct{})
		o := &Object{cut: func() { close(isCut) }}
		go func() {
			_, _ = o.to(blocked(isCut), held).Write(make([]byte, chunk))
			held.release()
		}()
		next, err := p.hold(t.Context(), "next", chunkID{n: 2}, chunk)
		if err != nil {
			t.Fatal(err)
		}
		next.release()
		if p.pool.Held() > 0 || o.holder != nil {
			t.Errorf("%d bytes are held", p.pool.Held())
		}
	})
}

// blocked is a caller that takes nothing.
type blocked chan struct{}

func (b blocked) Write([]byte) (int, error) {
	<-b
	return 0, io.ErrClosedPipe
}
