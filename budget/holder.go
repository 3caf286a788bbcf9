package budget

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// checkEvery is how often those who wait are looked after.
	checkEvery = 250 * time.Millisecond
	// stallLimit is how long a holder may take for leastMove bytes while others
	// wait.
	stallLimit = 2 * time.Second
	leastMove  = 32 << 10
	// patience is how long others wait before a holder is cut off for them.
	patience = time.Second
)

// Holder is a caller who holds memory of a pool while bytes go to it or come from
// it, as fast as it likes: unless others wait.
type Holder struct {
	pool  *Pool
	last  atomic.Int64 // when it moved last, as UnixNano; MaxInt64 while it is not waited for
	spent int64        // for how long it had not moved when it was waited for last
	bytes atomic.Int64 // since then
	cut   func()
}

// Hold watches over a caller until Done. cut ends its transfer, and is called
// once, if others wait and fewer than 32 KiB moved in two seconds. It must not
// call the pool, or wait.
func (p *Pool) Hold(cut func()) *Holder {
	h := &Holder{pool: p, cut: cut}
	h.last.Store(time.Now().UnixNano())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders[h] = struct{}{}
	return h
}

// IsWatched reports whether there is a caller to watch over.
func (h *Holder) IsWatched() bool { return h != nil }

// Moved says that n bytes went to the caller, or came from it.
func (h *Holder) Moved(n int) {
	if h.bytes.Add(int64(n)) >= leastMove {
		h.bytes.Store(0)
		h.last.Store(time.Now().UnixNano())
	}
}

// Waits says that until Resumes the caller is not waited for: it waits itself, for
// memory or for the store.
func (h *Holder) Waits() {
	if last := h.last.Swap(math.MaxInt64); last != math.MaxInt64 {
		h.spent = time.Now().UnixNano() - last
	}
}

// Resumes says that the caller is waited for again, and has of its time what it had
// before.
func (h *Holder) Resumes() {
	if h.last.Load() == math.MaxInt64 {
		h.last.Store(time.Now().UnixNano() - h.spent)
	}
}

// Done says that the transfer has ended.
func (h *Holder) Done() {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	delete(h.pool.holders, h)
}

// watch has those who wait looked after. The caller holds mu.
func (p *Pool) watch() {
	if len(p.waiting) > 0 && p.check == nil {
		p.check = time.AfterFunc(checkEvery, p.look)
	}
}

// look ends waits that have lasted too long, and cuts off the holder that has
// stalled for longest.
func (p *Pool) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.check = nil
	now := time.Now()
	for _, w := range slices.Clone(p.waiting) {
		if now.Sub(w.since) > waitLimit {
			p.remove(w)
			w.err = fmt.Errorf("%w: %s", ErrBusy, p.purpose)
			close(w.done)
		}
	}
	p.serve()
	if len(p.waiting) > 0 && now.Sub(p.waiting[0].since) > patience {
		p.cutOne(now)
	}
	p.watch()
}

// cutOne cuts off the holder that has not moved for longest, if that is too long.
// The caller holds mu.
func (p *Pool) cutOne(now time.Time) {
	var stalled *Holder
	oldest := now.Add(-stallLimit).UnixNano()
	for h := range p.holders {
		if last := h.last.Load(); last < oldest {
			stalled, oldest = h, last
		}
	}
	if stalled != nil {
		delete(p.holders, stalled)
		stalled.cut()
	}
}
