package fill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"larder/budget"
	"larder/keys"
)

const (
	// reserveLimit is how long a read waits for others to give memory back.
	reserveLimit = 10 * time.Second
	// freeLen is the length up to which chunks are not counted: the many small
	// reads of a node cost less memory than their connections do.
	freeLen = 64 << 10
)

// budgets bound the bytes of chunks that are held beside the memory tier, by
// what for. Each kind waits only for those below it, so that no two nodes wait
// for each other:
//
//	streams  chunks on their way to callers
//	serving  chunks on their way to peers
//	loads    chunks on their way from the store
type budgets struct {
	streams, serving *pins
	loads            *semaphore.Weighted
}

func newBudgets(p budget.Plan) budgets {
	return budgets{
		streams: newPins(p.Streams),
		serving: newPins(p.Serving),
		loads:   semaphore.NewWeighted(p.Loads),
	}
}

// reserve takes n bytes, waiting for others to give them back, or fails with budget.ErrBusy.
func reserve(ctx context.Context, b *semaphore.Weighted, n int64) error {
	if b.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reserveLimit)
	defer cancel()
	if err := b.Acquire(ctx, n); err != nil {
		return fmt.Errorf("%w: %w", budget.ErrBusy, err)
	}
	return nil
}

// pins count the chunks that are held, each once however many hold it.
type pins struct {
	budget *semaphore.Weighted
	most   int64      // what there is of it
	mu     sync.Mutex // guards held, and the fields of each pin
	held   map[chunkID]*pin
}

// chunkID is a chunk of a key, of whichever version.
type chunkID struct {
	key keys.Key
	n   int
}

// pin is one chunk that is held.
type pin struct {
	pins    *pins
	id      chunkID
	holders int
	size    int64
	ready   chan struct{} // closed once the budget has been asked
	err     error         // set before ready is closed
}

func newPins(most int64) *pins {
	return &pins{budget: semaphore.NewWeighted(most), most: most, held: map[chunkID]*pin{}}
}

// hold counts a chunk of up to size bytes as held, until release. It waits
// until the budget has room. A small chunk is not counted: the pin is nil.
func (p *pins) hold(ctx context.Context, k keys.Key, n int, size int64) (*pin, error) {
	if size <= freeLen {
		return nil, nil //nolint:nilnil // a nil pin is one that counts nothing
	}
	for {
		h, first := p.join(chunkID{k, n}, size)
		if first {
			h.ask(ctx)
		}
		select {
		case <-h.ready:
		case <-ctx.Done():
			h.release()
			return nil, fmt.Errorf("%w: %w", budget.ErrBusy, ctx.Err())
		}
		if h.err == nil {
			return h, nil
		}
		h.release()
		if first || !errors.Is(h.err, context.Canceled) {
			return nil, h.err
		}
		// The caller who waited for room has left. Whoever is first now waits.
	}
}

// ask asks the budget for room, on behalf of all who join meanwhile. A pin that
// gets none is not found any more: who would join it could only fail with it.
func (h *pin) ask(ctx context.Context) {
	defer close(h.ready)
	if h.err = reserve(ctx, h.pins.budget, h.size); h.err == nil {
		return
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	delete(h.pins.held, h.id)
}

// tryHold is hold for who would rather do without than wait. It leaves a quarter
// for those who cannot do without.
func (p *pins) tryHold(k keys.Key, n int, size int64) (*pin, bool) {
	if size <= freeLen {
		return nil, true
	}
	id := chunkID{k, n}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.held[id]; h != nil {
		if !h.granted() {
			return nil, false
		}
		h.holders++
		return h, true
	}
	spare := p.most / 4
	if !p.budget.TryAcquire(size + spare) {
		return nil, false
	}
	p.budget.Release(spare)
	h := &pin{pins: p, id: id, holders: 1, size: size, ready: make(chan struct{})}
	close(h.ready)
	p.held[id] = h
	return h, true
}

// granted says whether the budget has given the chunk its room.
func (h *pin) granted() bool {
	select {
	case <-h.ready:
		return h.err == nil
	default:
		return false
	}
}

// join makes the caller a holder of a chunk, and says whether it is the first.
func (p *pins) join(id chunkID, size int64) (h *pin, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h = p.held[id]; h != nil {
		h.holders++
		return h, false
	}
	h = &pin{pins: p, id: id, holders: 1, size: size, ready: make(chan struct{})}
	p.held[id] = h
	return h, true
}

// again is the same pin for one more holder.
func (h *pin) again() *pin {
	if h == nil {
		return nil
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	h.holders++
	return h
}

// shared says whether others hold the chunk as well, and so may have its bytes.
func (h *pin) shared() bool {
	if h == nil {
		return false
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	return h.holders > 1
}

// release says that one holder is done. A nil pin is released any time.
func (h *pin) release() {
	if h == nil {
		return
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	if h.holders--; h.holders > 0 {
		return
	}
	if h.pins.held[h.id] == h {
		delete(h.pins.held, h.id)
	}
	if h.err == nil {
		h.pins.budget.Release(h.size)
	}
}
