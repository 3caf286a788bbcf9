package httpapi

import (
	"net"
	"sync"
	"time"
)

// Door bounds the connections of a listener, in all and, to half of that, of one
// address, so that who floods a port leaves file descriptors and memory to the
// node's other ports. Beyond the bound a connection is answered 503 and
// closed.
type Door struct {
	net.Listener
	api *API
	// Silent closes a connection that there is no room for without an answer: its
	// caller speaks TLS.
	Silent bool

	mu   sync.Mutex // guards the fields below
	most int
	open map[string]int
	all  int
	away int64
}

// Bound puts a door of so many connections before a listener.
func (a *API) Bound(l net.Listener, most int) *Door {
	return &Door{Listener: l, api: a, most: most, open: map[string]int{}}
}

// Resize sets how many connections there may be. None is closed for it.
func (d *Door) Resize(most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.most = most
}

// Connections are how many there are now, and how many were turned away.
func (d *Door) Connections() (open int, turnedAway int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all, d.away
}

// Accept waits for a connection that there is room for.
func (d *Door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _, err := net.SplitHostPort(c.RemoteAddr().String())
		if err != nil {
			from = c.RemoteAddr().String()
		}
		if d.enter(from) {
			return &visitor{Conn: c, leave: sync.OnceFunc(func() { d.leave(from) })}, nil
		}
		d.turnAway(c)
	}
}

func (d *Door) enter(from string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= d.most || d.open[from] >= max(d.most/2, 1) {
		d.away++
		return false
	}
	d.all++
	d.open[from]++
	return true
}

func (d *Door) leave(from string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.open[from]--; d.open[from] == 0 {
		delete(d.open, from)
	}
}

// turnAway answers a connection without a word from its caller. What there is to
// send fits into the buffer of a new connection.
func (d *Door) turnAway(c net.Conn) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a connection that broke needs no answer, as below
	if answer := d.api.busy(c); !d.Silent {
		_, _ = c.Write(answer)
	}
	_ = c.Close()
}

// visitor is a connection that was let in.
type visitor struct {
	net.Conn
	leave func()
}

func (v *visitor) Close() error {
	defer v.leave()
	return v.Conn.Close()
}

// NetConn is the connection below.
func (v *visitor) NetConn() net.Conn { return v.Conn }

// CloseWrite ends this side only.
func (v *visitor) CloseWrite() error { return closeWrite(v.Conn) }
