package peer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// maxIdlePerMember is how many idle connections are kept.
const maxIdlePerMember = 256

// Pool is the connections for questions to one start of a member. It is safe
// for concurrent use.
type Pool struct {
	dial func(context.Context) (*askConn, error)

	mu    sync.Mutex            // guards all below
	idle  []*askConn            // the one that was used last at the end
	open  map[*askConn]struct{} // and those in use
	brief bool                  // the member is leaving: no connection is kept
	ended error                 // why nobody is asked any more
	sweep *time.Timer           // runs while there are idle connections
}

func newPool(dial func(context.Context) (*askConn, error)) *Pool {
	return &Pool{dial: dial, open: map[*askConn]struct{}{}}
}

// Ask asks on a connection that is there, or else on a new one. One that was
// kept may have been closed meanwhile: then the question is asked again on a
// new one, unless it may have been heard and must not be heard twice.
func (p *Pool) Ask(ctx context.Context, q Question) (Answer, error) {
	began, heard := time.Now(), false
	conn, err := p.take(q)
	if err != nil {
		return Answer{}, err
	}
	if conn != nil {
		a, f, err := p.askOn(ctx, conn, q, began)
		heard = f.sent
		if err == nil || ctx.Err() != nil || !f.again(q, err) {
			return a, p.explain(heard, err)
		}
	}
	if conn, err = p.connect(ctx, q, began); err != nil {
		return Answer{}, p.explain(heard, err)
	}
	a, f, err := p.askOn(ctx, conn, q, began)
	return a, p.explain(heard || f.sent, err)
}

// askOn asks on one connection, and takes it back, unless the answer's body is
// still to be read from it.
func (p *Pool) askOn(ctx context.Context, conn *askConn, q Question, began time.Time) (Answer, delivery, error) {
	a, err := conn.ask(ctx, q, began)
	f := conn.delivery
	if err == nil && q.Arriving && a.Size > 0 {
		a.Rest = &rest{wholeReader: wholeReader{io.LimitedReader{R: conn.in, N: a.Size}}, conn: conn, pool: p}
	} else {
		p.put(conn)
	}
	return a, f, err
}

// rest is the body of an answer on a connection of a pool.
type rest struct {
	wholeReader
	conn *askConn // nil when it is closed
	pool *Pool
}

// Close gives the connection back. Unless all of the body has been read, that
// is the connection's end.
func (r *rest) Close() error {
	if r.conn != nil {
		r.conn.broken = r.conn.broken || r.N > 0
		r.pool.put(r.conn)
		r.conn = nil
	}
	return nil
}

// explain adds to an error whether the question may have been heard, and, if the
// pool has ended, why.
func (p *Pool) explain(heard bool, err error) error {
	if err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		err = fmt.Errorf("%w: %w", p.ended, err)
	}
	if !heard {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// take takes an idle connection, if there is one.
func (p *Pool) take(q Question) (*askConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, p.ended)
	}
	for len(p.idle) > 0 {
		conn := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !q.Once || conn.alive() {
			return conn, nil
		}
		p.close(conn)
	}
	return nil, nil
}

func (p *Pool) connect(ctx context.Context, q Question, began time.Time) (*askConn, error) {
	if q.Within > 0 {
		bounded, cancel := context.WithDeadline(ctx, began.Add(q.Within))
		defer cancel()
		ctx = bounded
	}
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		_ = conn.Close()
		return nil, p.ended
	}
	p.open[conn] = struct{}{}
	return conn, nil
}

// put takes a connection back, and closes it unless it can be used again.
func (p *Pool) put(conn *askConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	broken := conn.broken || conn.in.Buffered() > 0 // what is left would be read as the next answer
	if broken || p.brief || p.ended != nil || len(p.idle) >= maxIdlePerMember {
		p.close(conn)
		return
	}
	conn.since = time.Now()
	p.idle = append(p.idle, conn)
	switch {
	case p.sweep == nil:
		p.sweep = time.AfterFunc(askerIdleTimeout, p.closeIdle)
	case len(p.idle) == 1:
		p.sweep.Reset(askerIdleTimeout)
	}
}

// closeIdle closes the connections that nobody has used for a while.
func (p *Pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 && time.Since(p.idle[0].since) >= askerIdleTimeout {
		p.close(p.idle[0])
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	if len(p.idle) > 0 {
		p.sweep.Reset(askerIdleTimeout - time.Since(p.idle[0].since))
	}
}

// close closes a connection. The caller holds mu.
func (p *Pool) close(conn *askConn) {
	delete(p.open, conn)
	_ = conn.Close()
}

// Retire closes the connections that are not in use, and each other one after
// its answer.
func (p *Pool) Retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.brief = true
	for _, conn := range p.idle {
		p.close(conn)
	}
	p.idle = nil
	p.stopSweep()
}

// End closes all connections. Questions that wait on one, and later ones, fail with why.
func (p *Pool) End(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = why
	}
	for conn := range p.open {
		p.close(conn)
	}
	p.idle = nil
	p.stopSweep()
}

func (p *Pool) stopSweep() {
	if p.sweep != nil {
		p.sweep.Stop()
	}
}
