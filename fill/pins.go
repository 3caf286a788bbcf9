package fill

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"larder/budget"
	"larder/keys"
)

// freeLen is the length up to which chunks are not counted: the many small reads
// of a node cost less memory than their connections do.
const freeLen = 64 << 10

// budgets bound the bytes of chunks that are held beside the memory tier, by
// what for. Each kind waits only for those below it, so that no two nodes wait
// for each other:
//
//	streams  chunks on their way to callers
//	serving  chunks on their way to peers
//	loads    chunks on their way from the store
type budgets struct {
	streams, serving *pins
	loads            *budget.Pool
}

func newBudgets(p budget.Plan) budgets {
	return budgets{
		streams: newPins(
			budget.NewPool("chunks on their way to callers", p.Streams, 0),
			budget.NewPool("chunks of the memory tier on their way to callers", p.Resident, 0)),
		serving: newPins(budget.NewPool("chunks on their way to peers", p.Serving, 0), nil),
		loads:   budget.NewPool("chunks on their way from the store", p.Loads, 0),
	}
}

// pins count the chunks that are held, each once however many hold it. A chunk
// that the tier has takes no memory of its own for as long as the tier keeps it,
// so it is charged to a pool that nobody waits for, and to the other only where
// that one is full.
type pins struct {
	pool     *budget.Pool
	resident *budget.Pool // nil if there is none
	mu       sync.Mutex   // guards held, and the fields of each pin; held when a pool's is taken, never after it
	held     map[chunkID]*pin
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
	ready   chan struct{} // closed once the pool has been asked
	grant   *budget.Grant // what it has of a pool; set before ready is closed, as the fields below
	waited  bool          // for by others: it is not of the resident pool
	err     error
}

func newPins(pool, resident *budget.Pool) *pins {
	return &pins{pool: pool, resident: resident, held: map[chunkID]*pin{}}
}

// hold counts a chunk of up to size bytes as held for a user, until release. It
// waits until the pool has room. A small chunk is not counted: the pin is nil.
func (p *pins) hold(ctx context.Context, user string, id chunkID, size int64) (*pin, error) {
	if size <= freeLen {
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

// ask asks the pool for room, on behalf of all who join meanwhile. A pin that
// gets none is not found any more: who would join it could only fail with it.
func (h *pin) ask(ctx context.Context, user string, size int64) {
	defer close(h.ready)
	if h.grant, h.err = h.pins.pool.Take(ctx, user, size); h.err == nil {
		return
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	delete(h.pins.held, h.id)
}

// holdAhead is hold for who would rather do without than wait. It leaves a quarter
// for those who cannot do without.
func (p *pins) holdAhead(user string, id chunkID, size int64) (*pin, bool) {
	return p.tryHold(p.pool, user, id, size, p.pool.Most()/4)
}

// holdAtOnce is hold that does not wait.
func (p *pins) holdAtOnce(user string, id chunkID, size int64) (*pin, bool) {
	return p.tryHold(p.pool, user, id, size, 0)
}

// holdResident is hold for a chunk that the tier has. It does not wait.
func (p *pins) holdResident(user string, id chunkID, size int64) (*pin, bool) {
	return p.tryHold(p.resident, user, id, size, 0)
}

func (p *pins) tryHold(pool *budget.Pool, user string, id chunkID, size, spare int64) (*pin, bool) {
	if size <= freeLen {
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
	h := &pin{pins: p, id: id, holders: 1, grant: grant, waited: pool == p.pool, ready: make(chan struct{})}
	close(h.ready)
	p.held[id] = h
	return h, true
}

// granted reports whether a pool has given the chunk its room.
func (h *pin) granted() bool {
	select {
	case <-h.ready:
		return h.err == nil
	default:
		return false
	}
}

// join makes the caller a holder of a chunk, and reports whether it is the first.
func (p *pins) join(id chunkID) (h *pin, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h = p.held[id]; h != nil {
		h.holders++
		return h, false
	}
	h = &pin{pins: p, id: id, holders: 1, waited: true, ready: make(chan struct{})}
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

// shared reports whether others hold the chunk as well, and so may have its bytes.
func (h *pin) shared() bool {
	if h == nil {
		return false
	}
	h.pins.mu.Lock()
	defer h.pins.mu.Unlock()
	return h.holders > 1
}

// watch watches over the caller that a held chunk is being sent to, until Done:
// if it stalls while others wait for memory, cut ends it. It returns nil if there
// is nothing to watch.
func (h *pin) watch(cut func()) *budget.Holder {
	if h == nil || !h.waited || cut == nil {
		return nil
	}
	return h.pins.pool.Hold(cut)
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
	h.grant.Release()
}
