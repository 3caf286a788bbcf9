package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	headerNode = "Larder-Node" // the ID of the member a request is meant for; in a 421, of the one that answered
	headerFrom = "Larder-From" // the ID of the member that asks

	maxPending = 256         // handshakes under way
	closeGrace = time.Second // for answers that are being sent when Run's context ends

	// A connection that is not used is closed by the client, well before the server would: so no request meets a
	// connection that is just being closed. That holds for the first request on a connection too, since net/http's
	// client dials connections ahead and puts them by.
	serverIdleTimeout   = 4 * clientIdleTimeout
	serverHeaderTimeout = 4 * clientIdleTimeout
	// serverWriteTimeout bounds a request from its header to the end of its answer.
	serverWriteTimeout = 2 * time.Minute
)

// serve answers peers until ctx ends.
func (c *Cluster) serve(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           c.onlyForThisNode(c.mux),
		ReadHeaderTimeout: serverHeaderTimeout,
		IdleTimeout:       serverIdleTimeout,
		WriteTimeout:      serverWriteTimeout,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          log.New(serverLog{c.log}, "", 0),
	}
	l := newAuthListener(c.peers, c.handshake, c.log, c.seldom)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		served <- err
	}
	grace, stop := context.WithTimeout(base, closeGrace)
	defer stop()
	_ = srv.Shutdown(grace) // what it does not bring to an end, Close does
	_ = srv.Close()
	_ = l.Close()
	l.wg.Wait()
	if err = <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve peers: %w", err)
	}
	return nil
}

// onlyForThisNode refuses requests that are meant for another node, with 421 and this node's ID.
//
// After a restart another process may listen where the other members still believe the old one to be. Were it to
// take their requests, it would acknowledge a revocation on behalf of a process that has never heard of it and may
// be alive at another address; so a request names the start that it is meant for.
func (c *Cluster) onlyForThisNode(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(headerNode) != c.self.ID {
			w.Header().Set(headerNode, c.self.ID)
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Sender returns the member that sent a request which a handler of the peer port has been given. ok is false when
// this node does not count it among the members, or not yet: then it would not be reached by a Fanout to Members.
func (c *Cluster) Sender(r *http.Request) (m Member, ok bool) {
	id := r.Header.Get(headerFrom)
	members := c.ring.Load().members
	i := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

// authListener accepts connections whose handshake has succeeded. Handshakes run beside each other, so that a slow
// one holds up nobody. When too many are under way the oldest is given up: a member needs a round trip for its own,
// so strangers who keep connections open without a word cannot keep it out.
type authListener struct {
	net.Listener
	handshake handshake
	log       zerolog.Logger
	seldom    *seldom

	ready chan net.Conn
	done  chan struct{}
	close sync.Once
	wg    sync.WaitGroup // the accepting goroutine and all handshakes

	mu      sync.Mutex // guards pending
	pending []net.Conn // oldest first
}

func newAuthListener(inner net.Listener, hs handshake, log zerolog.Logger, s *seldom) *authListener {
	l := &authListener{
		Listener:  inner,
		handshake: hs,
		log:       log,
		seldom:    s,
		ready:     make(chan net.Conn),
		done:      make(chan struct{}),
	}
	l.wg.Go(l.acceptAll)
	return l
}

// Accept returns the next authenticated connection.
func (l *authListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting and gives up the handshakes under way.
func (l *authListener) Close() error {
	var err error
	l.close.Do(func() {
		close(l.done)
		err = l.Listener.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, conn := range l.pending {
			_ = conn.Close()
		}
	})
	return err
}

func (l *authListener) acceptAll() {
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: it passes
			l.log.Warn().Err(err).Msg("accepting a peer connection: waiting before the next")
			select {
			case <-time.After(acceptBackoff):
				continue
			case <-l.done:
				return
			}
		}
		l.enter(conn)
		l.wg.Go(func() { l.authenticate(conn) })
	}
}

func (l *authListener) authenticate(conn net.Conn) {
	err := l.handshake.server(conn)
	l.leave(conn)
	if err != nil {
		_ = conn.Close()
		e := l.log.Debug()
		if errors.Is(err, errHandshake) && l.seldom.now("peer handshake") {
			e = l.log.Warn()
		}
		e.Err(err).Str("addr", conn.RemoteAddr().String()).Msg("refused a connection to the peer port")
		return
	}
	select {
	case l.ready <- conn:
	case <-l.done:
		_ = conn.Close()
	}
}

func (l *authListener) enter(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= maxPending {
		_ = l.pending[0].Close()
		l.pending = slices.Delete(l.pending, 0, 1)
	}
	l.pending = append(l.pending, conn)
	select {
	case <-l.done: // Close has not seen this one
		_ = conn.Close()
	default:
	}
}

func (l *authListener) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.pending, conn); i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
}

// serverLog takes the log lines of the HTTP server. A handler that panicked is a defect; the rest is peers that went
// away.
type serverLog struct{ log zerolog.Logger }

// Write takes one line.
func (l serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	e := l.log.Debug()
	if strings.Contains(text, "panic serving") {
		e = l.log.Error()
	}
	e.Str("detail", text).Msg("peer server")
	return len(line), nil
}
