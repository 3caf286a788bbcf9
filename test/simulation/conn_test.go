package simulation

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is one end of a connection. The network's mutex guards its fields.
type conn struct {
	host          *host
	peer          *conn
	listener      *listener // at the end that dialled
	local, remote net.Addr
	out           *link // to the other end
	arrives       []segment
	alarm                   // wakes its reader
	closed        bool      // by this end
	broken        bool      // by the network, or by the other end's kernel
	deadline      time.Time // of reads
}

// segment is what one write sent. Without bytes it is the end.
type segment struct {
	due   time.Time
	bytes []byte
}

// newConn is an end of a connection that sends over a link.
func newConn(h *host, out *link) *conn { return &conn{host: h, out: out, alarm: newAlarm()} }

// reset breaks this end. The caller holds the network's mutex.
func (c *conn) reset() {
	c.broken = true
	c.forget()
}

// forget has the host forget this end. The caller holds the network's mutex.
func (c *conn) forget() {
	delete(c.host.conns, c)
	c.wake()
}

// arrived is the first segment, if it is there by now; otherwise when to look
// again, zero if something else has to happen first. The caller holds the
// network's mutex.
func (c *conn) arrived(now time.Time) (s *segment, again time.Time) {
	if len(c.arrives) == 0 || c.peer.blocked() {
		return nil, time.Time{}
	}
	if s = &c.arrives[0]; s.due.After(now) {
		return nil, s.due
	}
	return s, time.Time{}
}

// blocked reports whether nothing passes from this end to the other now. The caller holds
// the network's mutex.
func (c *conn) blocked() bool {
	from, to := c.host, c.peer.host
	return from.gone || to.gone || from.held || to.held || c.out.cut
}

// Read reads what has come.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.tryRead(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		c.wait()
	}
}

// tryRead reads what is there, and otherwise sets the alarm.
func (c *conn) tryRead(b []byte) (n int, err error) {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	now := time.Now()
	s, again := c.arrived(now)
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.broken:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	case !c.deadline.IsZero() && !now.Before(c.deadline):
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
	case s == nil:
		if !c.deadline.IsZero() && (again.IsZero() || c.deadline.Before(again)) {
			again = c.deadline
		}
		c.set(again)
		return 0, nil
	case len(s.bytes) == 0:
		return 0, io.EOF
	}
	n = copy(b, s.bytes)
	if s.bytes = s.bytes[n:]; len(s.bytes) == 0 {
		c.arrives = c.arrives[1:]
	}
	return n, nil
}

// Peek implements peer.Peeker.
func (c *conn) Peek() (int, error) {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	s, _ := c.arrived(time.Now())
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.broken:
		return 0, syscall.ECONNRESET
	case s == nil:
		return 0, syscall.EAGAIN
	}
	return len(s.bytes), nil
}

// Write sends b. There is always room for it on the way.
func (c *conn) Write(b []byte) (int, error) {
	n := c.host.network
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.broken:
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	case len(b) == 0:
		return 0, nil
	case c.peer.closed && !c.blocked(): // the other end's kernel refuses what comes
		c.reset()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	c.send(append([]byte(nil), b...))
	return len(b), nil
}

// send puts a segment on its way. The caller holds the network's mutex.
func (c *conn) send(b []byte) {
	l, now := c.out, time.Now()
	due := now.Add(l.delay(now))
	for again, try := resend, 0; !l.cut && l.lost(now, try); again, try = 2*again, try+1 {
		due = due.Add(again)
	}
	if l.stalled > 0 && l.chance.share(now, -1) < l.stalled {
		due = due.Add(l.chance.between(now, -2, 0, l.stall))
	}
	to := c.peer
	if last := len(to.arrives) - 1; last >= 0 && to.arrives[last].due.After(due) {
		due = to.arrives[last].due
	}
	if to.arrives = append(to.arrives, segment{due: due, bytes: b}); len(to.arrives) == 1 {
		to.set(due)
	}
}

// Close ends both directions.
func (c *conn) Close() error {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if !c.broken {
		c.send(nil)
	}
	c.forget()
	return nil
}

// LocalAddr is this end's.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other end's.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline bounds reads; writes never wait.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds reads.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.deadline = t
	c.wake()
	return nil
}

// SetWriteDeadline bounds nothing, since writes never wait.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
