package testcluster

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Fault is what a Proxy does to the connections through it. The zero Fault is none.
type Fault struct {
	// Refuse breaks every connection off and accepts none: the server is gone.
	Refuse bool
	// Hang accepts connections and passes nothing on.
	Hang bool
	// CutAfter breaks a connection off once this many bytes of answers have
	// passed since the fault was set; 0 is never.
	CutAfter int64
	// Delay holds back each piece of an answer, of at most 16 KiB.
	Delay time.Duration
}

// Proxy passes TCP connections on to a server and can fail. Make one with NewProxy.
type Proxy struct {
	Addr string

	t      testing.TB
	target string
	wg     sync.WaitGroup

	mu       sync.Mutex // guards all below
	listener net.Listener
	fault    Fault
	changed  chan struct{} // closed when the fault changes
	conns    map[*net.TCPConn]struct{}
	held     int // pieces held back by Hang
	closed   bool
}

// NewProxy starts a proxy in front of the server at target. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, changed: make(chan struct{}), conns: map[*net.TCPConn]struct{}{}}
	for range startTries {
		addr := FreeAddr(t)
		if l, err := net.Listen("tcp", addr); err == nil {
			p.Addr = addr
			p.serve(l)
			t.Cleanup(p.close)
			return p
		}
	}
	t.Fatal("no free port for a proxy")
	return nil
}

// Set changes what the proxy does, to connections that are open too.
func (p *Proxy) Set(f Fault) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	if f.Refuse {
		p.breakAll()
		return
	}
	if p.listener == nil {
		l, err := net.Listen("tcp", p.Addr)
		if err != nil {
			p.t.Fatalf("listen again: %v", err)
		}
		p.serveLocked(l)
	}
}

func (p *Proxy) serve(l net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serveLocked(l)
}

func (p *Proxy) serveLocked(l net.Listener) {
	p.listener = l
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.connect(conn.(*net.TCPConn)) })
		}
	})
}

// connect joins a connection to one to the server, until either ends.
func (p *Proxy) connect(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp", p.target, lookLimit)
	if err != nil {
		reset(client)
		return
	}
	server := conn.(*net.TCPConn)
	p.mu.Lock()
	if p.closed || p.fault.Refuse {
		p.mu.Unlock()
		reset(client)
		reset(server)
		return
	}
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, false) })
	both.Go(func() { p.pass(client, server, true) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
	_ = client.Close()
	_ = server.Close()
}

// pass copies one direction of a connection, under the fault of the moment.
func (p *Proxy) pass(to, from *net.TCPConn, answers bool) {
	piece := make([]byte, 16<<10)
	passed, since := int64(0), Fault{}
	for {
		n, err := from.Read(piece)
		f := p.admit()
		if f != since {
			passed, since = 0, f
		}
		if answers && f.CutAfter > 0 && passed+int64(n) > f.CutAfter {
			_, _ = to.Write(piece[:max(0, f.CutAfter-passed)]) // it is broken off anyway
			reset(to)
			reset(from)
			return
		}
		if answers && f.Delay > 0 {
			time.Sleep(f.Delay) // the link is so slow
		}
		if n > 0 {
			passed += int64(n)
			if _, werr := to.Write(piece[:n]); werr != nil {
				reset(from)
				return
			}
		}
		if err != nil {
			_ = to.CloseWrite() // the other direction may go on
			return
		}
	}
}

// Held is how many pieces of requests and answers the proxy holds back now.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

// admit waits while the proxy hangs, and returns the fault then.
func (p *Proxy) admit() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.fault.Hang && !p.closed {
		changed := p.changed
		p.held++
		p.mu.Unlock()
		<-changed
		p.mu.Lock()
		p.held--
	}
	return p.fault
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	close(p.changed)
	p.changed = make(chan struct{})
	p.breakAll()
	p.mu.Unlock()
	p.wg.Wait()
}

// breakAll closes the listener and resets all connections. The caller holds mu.
func (p *Proxy) breakAll() {
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for c := range p.conns {
		reset(c)
	}
}

// reset breaks a connection off with RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
