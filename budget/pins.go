package budget

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// FreeLen is the length up to which a chunk is not counted: the many small reads
// of a node cost less memory than their connections do.
const FreeLen = 64 << 10

// Pins count the chunks that are held, by K, each once however many hold it. A
// chunk that the memory tier has takes no memory of its own for as long as the tier
// keeps it, so it is charged to a pool of its own, for which nobody waits, and to the
// other only where that one is full.
type Pins[K comparable] struct {
	pool     *Pool
	resident *Pool      // nil if there is none
	mu       sync.Mutex // guards held, and the fields of each pin; held when a pool's is taken, never after it
	held     map[K]*Pin[K]
}

// Pin is one chunk that is held.
type Pin[K comparable] struct {
	pins    *Pins[K]
	id      K
	holders int
	ready   chan struct{} // closed once the pool has been asked
	grant   *Grant        // what it has of a pool; set before ready is closed, as the fields below
	waited  bool          // for by others: it is not of the resident pool
	err     error
}

// NewPins makes pins of one pool, and of another for what the tier has, unless that
// is nil.
func NewPins[K comparable](pool, resident *Pool) *Pins[K] {
	return &Pins[K]{pool: pool, resident: resident, held: map[K]*Pin[K]{}}
}

// Hold counts a chunk of up to size bytes as held for a user, until release. It
// waits until the pool has room. A small chunk is not counted: the pin is nil.
func (p *Pins[K]) Hold(ctx context.Context, user string, id K, size int64) (*Pin[K], error) {
	if size <= FreeLen {
		return nil, nil //nolint:nilnil // a nil pin is one that counts nothing
	}
	for {
		h, first := p.join(id)
		if first {
			h.ask(ctx, user, size)
		}
		select {
		case <-h.ready:
		case <-ctx.Done():
			h.Release()
			return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
		if h.err == nil {
			return h, nil
		}
		h.Release()
		if first || !errors.Is(h.err, context.Canceled) {
			return nil, h.err
		}
		// The caller who waited for room has left. Whoever is first now waits.
	}
}

// ask asks the pool for room, on behalf of all who join meanwhile. A pin that
// gets none is not found any more: a caller who joined it could only fail with it.
func (h *Pin[K]) ask(ctx context.Context, user string, size int64) {
	defer close(h.ready)
	if h.grant, h.err = h.pins.pool.Take(ctx, user, size); h.err == nil {
		return
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	delete(h.pins.held, h.id)
}

// HoldAhead is Hold that never waits. It fails if less than a quarter of the pool
// would be left, for those who cannot do without.
func (p *Pins[K]) HoldAhead(user string, id K, size int64) (*Pin[K], bool) {
	return p.tryHold(p.pool, user, id, size, p.pool.Most()/4)
}

// HoldAtOnce is Hold that never waits.
func (p *Pins[K]) HoldAtOnce(user string, id K, size int64) (*Pin[K], bool) {
	return p.tryHold(p.pool, user, id, size, 0)
}

// HoldResident is Hold for a chunk that the tier has. It never waits.
func (p *Pins[K]) HoldResident(user string, id K, size int64) (*Pin[K], bool) {
	return p.tryHold(p.resident, user, id, size, 0)
}

// TakeResident takes memory of the same pool for bytes that one caller alone holds. It
// never waits.
func (p *Pins[K]) TakeResident(user string, size int64) (*Grant, bool) {
	return p.resident.TryTake(user, size, 0)
}

func (p *Pins[K]) tryHold(pool *Pool, user string, id K, size, spare int64) (*Pin[K], bool) {
	if size <= FreeLen {
		return nil, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.held[id]; h != nil {
		if !h.granted() {
			return nil, false
		}
		h.holders++
		return h, true
	}
	grant, ok := pool.TryTake(user, size, spare)
	if !ok {
		return nil, false
	}
	h := &Pin[K]{pins: p, id: id, holders: 1, grant: grant, waited: pool == p.pool, ready: make(chan struct{})}
	close(h.ready)
	p.held[id] = h
	return h, true
}

// granted reports whether a pool has given the chunk its room.
func (h *Pin[K]) granted() bool {
	select {
	case <-h.ready:
		return h.err == nil
	default:
		return false
	}
}

// join makes the caller a holder of a chunk, and reports whether it is the first.
func (p *Pins[K]) join(id K) (h *Pin[K], first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h = p.held[id]; h != nil {
		h.holders++
		return h, false
	}
	h = &Pin[K]{pins: p, id: id, holders: 1, waited: true, ready: make(chan struct{})}
	p.held[id] = h
	return h, true
}

// Resize sets how many bytes the pools have.
func (p *Pins[K]) Resize(pool, resident int64) {
	p.pool.Resize(pool)
	if p.resident != nil {
		p.resident.Resize(resident)
	}
}

// Held is how many bytes are held, of either pool.
func (p *Pins[K]) Held() int64 {
	n := p.pool.Held()
	if p.resident != nil {
		n += p.resident.Held()
	}
	return n
}

// Again is the same pin for one more holder.
func (h *Pin[K]) Again() *Pin[K] {
	if h == nil {
		return nil
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	h.holders++
	return h
}

// Shared reports whether others hold the chunk as well, and so may have its bytes.
func (h *Pin[K]) Shared() bool {
	if h == nil {
		return false
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	return h.holders > 1
}

// Waited reports whether others may wait for the memory of the chunk.
func (h *Pin[K]) Waited() bool { return h != nil && h.waited }

// Watch watches over the caller that a held chunk is being sent to, until Done:
// if it stalls while others wait for memory, cut ends it. It returns nil if there
// is nothing to watch.
func (h *Pin[K]) Watch(cut func()) *Holder {
	if !h.Waited() || cut == nil {
		return nil
	}
	return h.pins.pool.Hold(cut)
}

// Release says that one holder is done. A nil pin is released any time.
func (h *Pin[K]) Release() {
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
	h.grant.Release()
}
