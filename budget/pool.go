package budget

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ErrBusy says that there was no memory within the time that a caller waits. Its
// text names the purpose.
var ErrBusy = errors.New("too many bytes under way")

// waitLimit ends every wait. A store that gives 10 MB a second has given 450 MB
// by then, and most clients wait a minute.
const waitLimit = 45 * time.Second

// Pool is the memory for one purpose.
type Pool struct {
	purpose string
	lane    int64 // bytes beyond most, of which one grant at a time grows

	mu      sync.Mutex // guards the fields below
	most    int64
	taken   int64            // more than most while that has shrunk, until enough is given back
	laned   bool             // the lane is taken
	held    map[string]int64 // by user, and by the name that a grant has for its org
	first   string           // the org that asked first
	several bool             // another has asked too, for good
	waiting []*waiter        // in the order in which they came
	holders map[*Holder]struct{}
	check   *time.Timer // while somebody waits
}

// Grant is memory that a user holds, until Release.
type Grant struct {
	pool  *Pool
	user  string // as Take takes it
	org   string // ORG/, which is the name of no user
	bytes int64
	laned bool // the rest comes from the lane
}

// waiter is a user who waits for bytes.
type waiter struct {
	grant *Grant
	bytes int64
	grows bool // it holds a part already, and may take the lane
	since time.Time
	done  chan struct{} // closed when it has the bytes, or err is set
	err   error
}

// NewPool makes a pool of so many bytes. Its purpose completes the sentence "too
// many bytes under way: ...". A grant grows by the lane at most when the pool is
// exhausted, one grant at a time, so that of those who hold a part of what they
// need one can always go on; 0 if grants do not grow.
func NewPool(purpose string, most, lane int64) *Pool {
	return &Pool{
		purpose: purpose, most: most, lane: lane,
		held: map[string]int64{}, holders: map[*Holder]struct{}{},
	}
}

// Most is how many bytes the pool has.
func (p *Pool) Most() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// Resize sets how many bytes the pool has. Nobody loses what is held: if that is more,
// whoever wants some waits until enough of it has been given back.
func (p *Pool) Resize(most int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = most
	p.serve()
}

// Held is how many bytes are held.
func (p *Pool) Held() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// free is how many bytes nobody holds. It is below 0 while more are held than the pool has,
// since it has shrunk. The caller holds mu.
func (p *Pool) free() int64 { return p.most - p.taken }

// Take takes n bytes for a user, in turn, or all that the pool has if those are fewer. It fails with ErrBusy, beside the
// context's error if that ended the wait. A user is ORG/NAME; ORG, for what an org as a whole
// needs; or empty, for what no org needs.
func (p *Pool) Take(ctx context.Context, user string, n int64) (*Grant, error) {
	g := p.grant(user)
	if err := p.wait(ctx, &waiter{grant: g, bytes: n}); err != nil {
		return nil, err
	}
	return g, nil
}

func (p *Pool) grant(user string) *Grant {
	org, _, _ := strings.Cut(user, "/")
	return &Grant{pool: p, user: user, org: org + "/"}
}

// TryTake takes n bytes if they are there at once, nobody waits, and spare bytes
// are left.
func (p *Pool) TryTake(user string, n, spare int64) (*Grant, bool) {
	g := p.grant(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(g)
	if len(p.waiting) > 0 || p.free() < n+spare || !p.within(g, n) {
		return nil, false
	}
	p.give(g, n)
	return g, true
}

// Grow adds n bytes to what a grant holds, as Take does.
func (g *Grant) Grow(ctx context.Context, n int64) error {
	if g.laned {
		return nil
	}
	return g.pool.wait(ctx, &waiter{grant: g, bytes: n, grows: true})
}

// Release gives back all that the grant holds. A nil grant holds nothing.
func (g *Grant) Release() {
	if g == nil {
		return
	}
	p := g.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken -= g.bytes
	for _, name := range []string{g.user, g.org} {
		if p.held[name] -= g.bytes; p.held[name] <= 0 {
			delete(p.held, name)
		}
	}
	if g.laned {
		p.laned = false
	}
	g.bytes, g.laned = 0, false
	p.serve()
}

// wait has a waiter served at once, or in turn.
func (p *Pool) wait(ctx context.Context, w *waiter) error {
	w.done, w.since = make(chan struct{}), time.Now()
	p.mu.Lock()
	p.note(w.grant)
	p.waiting = append(p.waiting, w)
	p.serve()
	p.watch()
	p.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.done: // it was served meanwhile
		return w.err
	default:
		p.remove(w)
		p.serve() // those behind it may have their turn now
		return fmt.Errorf("%w: %s: %w", ErrBusy, p.purpose, ctx.Err())
	}
}

// note takes note that a grant's org has asked, if it is of one. The caller holds mu.
func (p *Pool) note(g *Grant) {
	switch {
	case g.user == "":
	case p.first == "":
		p.first = g.org
	case p.first != g.org:
		p.several = true
	}
}

// serve gives bytes to those who wait: each time to whoever's org holds least, in it to
// whoever's user does, and of equals to the one who came first. A large wish is not
// overtaken by the small ones of others behind it. The caller holds mu.
func (p *Pool) serve() {
	for {
		next := p.next()
		switch {
		case next == nil:
			return
		case p.wish(next) <= p.free() && p.within(next.grant, p.wish(next)):
			p.give(next.grant, p.wish(next))
		case next.grows && p.lane > 0 && !p.laned:
			p.laned, next.grant.laned = true, true
		default:
			return
		}
		p.remove(next)
		close(next.done)
	}
}

// wish is how many bytes a waiter wants: not more than the pool has, unless it holds some
// already. The caller holds mu.
func (p *Pool) wish(w *waiter) int64 {
	if w.grows {
		return w.bytes
	}
	return min(w.bytes, p.most)
}

// next is who is to be served. A user who may hold no more for now is passed
// over. The caller holds mu.
func (p *Pool) next() (best *waiter) {
	for _, w := range p.waiting {
		if !p.within(w.grant, p.wish(w)) && (!w.grows || p.laned) {
			continue
		}
		if best == nil || p.held[w.grant.org] < p.held[best.grant.org] ||
			p.held[w.grant.org] == p.held[best.grant.org] && p.held[w.grant.user] < p.held[best.grant.user] {
			best = w
		}
	}
	return best
}

// within reports whether a grant's user may hold n bytes more. Whoever holds nothing may, and
// nobody may hold more than three times what is then left for others. Once several orgs have
// asked, each org is held to that in the pool, and each user in what his org may hold; what
// an org as a whole needs, or no org, is then held to the first alone. The caller holds mu.
func (p *Pool) within(g *Grant, n int64) bool {
	room := p.free()
	if p.several {
		org := p.held[g.org]
		if org > 0 && org+n > 3*(room-n) {
			return false
		}
		if !strings.Contains(g.user, "/") {
			return true
		}
		room = (3*room - org) / 4 // what the org may take besides: org + x = 3 (room - x)
	}
	user := p.held[g.user]
	return user == 0 || user+n <= 3*(room-n)
}

// give hands bytes to a grant. The caller holds mu.
func (p *Pool) give(g *Grant, n int64) {
	p.taken += n
	p.held[g.user] += n
	p.held[g.org] += n
	g.bytes += n
}

// remove takes a waiter out of the queue. The caller holds mu.
func (p *Pool) remove(w *waiter) {
	for i, other := range p.waiting {
		if other == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return
		}
	}
}
