package simulation

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// listener is a port of a host for connections.
type listener struct {
	host   *host
	port   string
	queue  chan *conn
	closed chan struct{}
	once   sync.Once
}

// Listen binds a port for connections.
func (h *host) Listen(_, addr string) (net.Listener, error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	on, port, err := n.bound(addr)
	if err != nil {
		return nil, err
	}
	if on != h.addr || h.ports[port] != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, syscall.EADDRINUSE)
	}
	l := &listener{host: h, port: port, queue: make(chan *conn, 1024), closed: make(chan struct{})}
	h.ports[port] = l
	return l, nil
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close frees the port.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.host.network.mu.Lock()
		defer l.host.network.mu.Unlock()
		delete(l.host.ports, l.port)
	})
	return nil
}

// Addr is where it listens.
func (l *listener) Addr() net.Addr { return address(l.host.addr, l.port) }

// DialContext connects to whoever listens at an address. A try whose packets
// are lost is followed by another.
func (h *host) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	for {
		c, wait, err := h.dial(addr)
		waited := sleep(ctx, wait)
		switch {
		case !waited:
			err = ctx.Err()
		case err != nil:
		case c == nil:
			continue
		case c.enter():
			return c, nil
		default:
			err = syscall.ECONNREFUSED
		}
		if c != nil {
			_ = c.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
}

// dial makes one try, whose outcome is known after a while: without a
// connection and an error, nothing has come back.
func (h *host) dial(addr string) (c *conn, wait time.Duration, err error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	on, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, 0, err
	}
	there, way, back := n.hosts[on], n.between(h.addr, on), n.between(on, h.addr)
	now := time.Now()
	if there == nil || there.gone && there.silent || h.gone || h.held || way.lost(now, 0) || back.lost(now, 0) {
		return nil, resend, nil
	}
	wait = way.delay(now) + back.delay(now)
	l := there.ports[port]
	if there.gone || l == nil {
		return nil, wait, syscall.ECONNREFUSED
	}
	here, far := newConn(h, way), newConn(there, back)
	here.local, here.remote = address(h.addr, n.port()), address(on, port)
	far.local, far.remote = here.remote, here.local
	here.peer, far.peer, here.listener = far, here, l
	h.conns[here], there.conns[far] = struct{}{}, struct{}{}
	return here, wait, nil
}

// enter hands the other end to who listens there, and reports whether anybody
// does.
func (c *conn) enter() bool {
	select {
	case <-c.listener.closed:
		return false
	case c.listener.queue <- c.peer:
		return true
	}
}
