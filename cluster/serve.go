package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxPending = 256         // handshakes under way
	closeGrace = time.Second // for answers that are being sent when Run's context ends
	// answerLimit is how long Run waits, after that, for answers that do not mind its end: a write that another node
	// forwarded goes on to its own.
	answerLimit = 5 * time.Second

	// A connection that is not used is closed by the asker, well before the answering side would: so no question meets a
	// connection that is just being closed.
	askerIdleTimeout  = time.Minute
	answerIdleTimeout = 4 * askerIdleTimeout
)

// serve answers members until ctx ends.
func (c *Cluster) serve(ctx context.Context) {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	questions := &answering{self: c.self.ID, routes: c.routes, log: c.log, conns: map[*answerConn]struct{}{}}
	d := &door{Listener: c.peers, handshake: c.handshake, log: c.log, seldom: c.seldom, done: make(chan struct{})}
	d.enter = func(conn net.Conn) { questions.serve(base, conn) }
	d.wg.Go(d.acceptAll)

	<-ctx.Done()
	grace, stop := context.WithTimeout(base, closeGrace)
	defer stop()
	d.close()
	questions.shutdown(grace)
	cancel()
	if !ended(&d.wg, answerLimit) {
		c.log.Warn().Msg("answers to members were being worked out when this node stopped")
	}
}

// ended waits until what wg counts has ended, as long as it may.
func ended(wg *sync.WaitGroup, limit time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with those that it waits for, at the latest with the process
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// door lets connections in whose handshake has succeeded. Handshakes run beside each other, so that a slow one holds up
// nobody. When too many are under way the oldest is given up: a member needs a round trip for its own, so strangers who
// keep connections open without a word cannot keep it out.
type door struct {
	net.Listener
	handshake handshake
	log       zerolog.Logger
	seldom    *seldom
	enter     func(net.Conn) // takes over a connection, and returns when it is closed

	done chan struct{}
	wg   sync.WaitGroup // the accepting goroutine, and one for each connection

	mu      sync.Mutex // guards pending
	pending []net.Conn // oldest first
}

// close lets nobody in any more, and gives up the handshakes under way.
func (d *door) close() {
	close(d.done)
	_ = d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.pending {
		_ = conn.Close()
	}
}

func (d *door) acceptAll() {
	for {
		conn, err := d.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: it passes
			d.log.Warn().Err(err).Msg("accepting a peer connection: waiting before the next")
			select {
			case <-time.After(acceptBackoff):
				continue
			case <-d.done:
				return
			}
		}
		d.enlist(conn)
		d.wg.Go(func() { d.authenticate(conn) })
	}
}

func (d *door) authenticate(conn net.Conn) {
	err := d.handshake.server(conn)
	d.forget(conn)
	if err != nil {
		_ = conn.Close()
		e := d.log.Debug()
		if errors.Is(err, errHandshake) && d.seldom.now("peer handshake") {
			e = d.log.Warn()
		}
		e.Err(err).Str("addr", conn.RemoteAddr().String()).Msg("refused a connection to the peer port")
		return
	}
	d.enter(conn)
}

// enlist counts a connection among those whose handshake is under way.
func (d *door) enlist(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pending) >= maxPending {
		_ = d.pending[0].Close()
		d.pending = slices.Delete(d.pending, 0, 1)
	}
	d.pending = append(d.pending, conn)
	select {
	case <-d.done: // close has not seen this one
		_ = conn.Close()
	default:
	}
}

func (d *door) forget(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.pending, conn); i >= 0 {
		d.pending = slices.Delete(d.pending, i, i+1)
	}
}
