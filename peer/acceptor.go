package peer

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	maxPending = 256 // handshakes under way
	// maxEntered is how many connections of members may be open. Each of them
	// keeps 256 that it does not use.
	maxEntered = 16 << 10
	closeGrace = time.Second // for answers that are being sent when Run's context ends
	// answerLimit is how long Run waits, after that, for answers that do not
	// mind its end: a write that another node forwarded goes on to its own.
	answerLimit = 5 * time.Second

	// A connection that is not used is closed by the asker, well before the
	// server side would: so no question meets a connection that is just being
	// closed.
	askerIdleTimeout  = time.Minute
	answerIdleTimeout = 4 * askerIdleTimeout

	// acceptBackoff is the wait after a connection that could not be accepted.
	acceptBackoff = 50 * time.Millisecond
	// warnEvery is how often a warning that would repeat itself is given.
	warnEvery = time.Minute
)

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

// acceptor lets connections in whose handshake has succeeded. Handshakes run
// beside each other, so that a slow one holds up nobody. When too many are
// under way the oldest is given up: a member needs a round trip for its own, so
// strangers who keep connections open without a word cannot keep it out.
type acceptor struct {
	net.Listener
	handshake handshake
	log       zerolog.Logger
	seldom    warnings
	most      int // handshakes under way
	// enter takes over a connection, and returns when it is closed.
	enter func(conn net.Conn, from string)

	done chan struct{}
	wg   sync.WaitGroup // the accepting goroutine, and one for each connection

	mu      sync.Mutex // guards all below
	pending []net.Conn // whose handshake is under way, oldest first
	entered int        // connections that are in
}

// warnings are loggers of one line a minute, one for each kind of trouble.
type warnings struct{ strangers, releases, relays, floods, failures zerolog.Logger }

func newAcceptor(l net.Listener, h handshake, log zerolog.Logger) *acceptor {
	return &acceptor{Listener: l, handshake: h, log: log, most: maxPending, done: make(chan struct{}), seldom: warnings{
		strangers: seldom(log), releases: seldom(log), relays: seldom(log), floods: seldom(log), failures: seldom(log),
	}}
}

// seldom is a logger for one kind of line, which would repeat itself.
func seldom(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: warnEvery})
}

// close lets nobody in any more, and gives up the handshakes under way.
func (a *acceptor) close() {
	close(a.done)
	_ = a.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, conn := range a.pending {
		_ = conn.Close()
	}
}

func (a *acceptor) acceptAll() {
	for {
		conn, err := a.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: it passes
			a.seldom.failures.Warn().Err(err).Msg("accepting a peer connection: waiting before the next")
			select {
			case <-time.After(acceptBackoff):
				continue
			case <-a.done:
				return
			}
		}
		a.enlist(conn)
		a.wg.Go(func() { a.authenticate(conn) })
	}
}

func (a *acceptor) authenticate(conn net.Conn) {
	proven, from, err := a.handshake.server(conn)
	a.forget(conn)
	if err != nil {
		_ = conn.Close()
		a.refuse(conn, err)
		return
	}
	if a.count(1) > maxEntered {
		a.seldom.floods.Warn().Int("most", maxEntered).Str("addr", conn.RemoteAddr().String()).
			Msg("refused a member's connection: as many are open as are allowed")
		_ = conn.Close()
	} else {
		a.enter(proven, from)
	}
	a.count(-1)
}

// count counts a connection in or out, and returns how many are in.
func (a *acceptor) count(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entered += n
	return a.entered
}

// refuse tells of a connection that was refused. That a process was meant that
// listened here before is no news: its death may not be known everywhere.
func (a *acceptor) refuse(conn net.Conn, err error) {
	e := a.log.Debug()
	switch {
	case errors.Is(err, errHandshake):
		e = a.seldom.strangers.Warn()
	case errors.Is(err, errRelease), errors.Is(err, errPlain):
		e = a.seldom.releases.Warn()
	case errors.Is(err, errOwn):
		e = a.seldom.relays.Warn()
	}
	e.Err(err).Str("addr", conn.RemoteAddr().String()).Msg("refused a connection to the peer port")
}

// enlist counts a connection among those whose handshake is under way.
func (a *acceptor) enlist(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) >= a.most {
		a.seldom.floods.Warn().Int("most", a.most).Str("addr", a.pending[0].RemoteAddr().String()).
			Msg("more connections to the peer port than handshakes may be under way: gave up the oldest")
		_ = a.pending[0].Close()
		a.pending = slices.Delete(a.pending, 0, 1)
	}
	a.pending = append(a.pending, conn)
	select {
	case <-a.done: // close has not seen this one
		_ = conn.Close()
	default:
	}
}

func (a *acceptor) forget(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.pending, conn); i >= 0 {
		a.pending = slices.Delete(a.pending, i, i+1)
	}
}
