package simulation

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"
)

// resend is the wait before lost bytes of a connection are sent again.
const resend = 200 * time.Millisecond

// network carries packets and connections between hosts, on the bubble's clock.
type network struct {
	seed uint64

	mu    sync.Mutex // guards all below, and the fields of hosts, links, ports and connections
	hosts map[string]*host
	links map[[2]string]*link
	next  int // the port that is given next
}

// host is one machine, from its start until it is cut off for good. A later
// start at the same address is another host.
type host struct {
	network *network
	addr    string
	gone    bool // nothing passes any more
	silent  bool // and nobody at its address refuses anything: the machine is off
	held    bool // it is stopped: what is sent to it and by it waits
	resumed chan struct{}
	ended   chan struct{}
	ports   map[string]*listener
	packets map[string]*packetPort
	conns   map[*conn]struct{}
}

// link is one direction between two addresses.
type link struct {
	chance  chance
	latency time.Duration
	slower  time.Duration
	cut     bool
	loss    float64 // of packets; lost bytes of a connection are sent again
	stalled float64 // of what connections carry, up to stall later than it was
	stall   time.Duration
}

func newNetwork(seed uint64) *network {
	return &network{seed: seed, hosts: map[string]*host{}, links: map[[2]string]*link{}, next: 20_000}
}

// start puts a host at an address.
func (n *network) start(addr string) *host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &host{
		network: n, addr: addr, resumed: make(chan struct{}), ended: make(chan struct{}),
		ports: map[string]*listener{}, packets: map[string]*packetPort{}, conns: map[*conn]struct{}{},
	}
	n.hosts[addr] = h
	return h
}

// between is the link from one address to another. The caller holds mu.
func (n *network) between(from, to string) *link {
	l := n.links[[2]string{from, to}]
	if l == nil {
		c := newChance(n.seed, from+">"+to)
		l = &link{chance: c, latency: c.between(time.Unix(0, 0), 0, 100*time.Microsecond, 500*time.Microsecond)}
		n.links[[2]string{from, to}] = l
	}
	return l
}

// delay is how long a message takes that is sent now. The caller holds mu.
func (l *link) delay(now time.Time) time.Duration {
	return l.chance.between(now, 0, l.latency, 2*l.latency) + l.slower
}

// lost reports whether a packet is that is sent now, at this try. The caller holds mu.
func (l *link) lost(now time.Time, try int) bool {
	return l.cut || l.loss > 0 && l.chance.share(now, 1+try) < l.loss
}

// change changes the link from one address to another.
func (n *network) change(from, to string, do func(*link)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	do(n.between(from, to))
	n.wakeAll()
}

// wakeAll has every reader look again. The caller holds mu.
func (n *network) wakeAll() {
	for _, h := range n.hosts {
		for c := range h.conns {
			c.wake()
		}
	}
}

// alarm wakes who reads. The network's mutex guards its time.
type alarm struct {
	woken chan struct{} // holds a token when there is something to look at
	timer *time.Timer
}

func newAlarm() alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return alarm{make(chan struct{}, 1), t}
}

// set has it ring at a time, unless that is zero, and not when it was to ring before.
func (a *alarm) set(at time.Time) {
	if at.IsZero() {
		a.timer.Stop()
		return
	}
	a.timer.Reset(time.Until(at))
}

// wake has it ring now.
func (a *alarm) wake() {
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

// wait returns when it rings.
func (a *alarm) wait() {
	select {
	case <-a.woken:
	case <-a.timer.C:
	}
}

// blocked reports whether nothing passes from one host to another now. The
// caller holds mu.
func (n *network) blocked(from, to *host) bool {
	return from.gone || to.gone || from.held || to.held || n.between(from.addr, to.addr).cut
}

// hold stops the traffic of a host, or lets it go on.
func (h *host) hold(held bool) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	h.setHeld(held)
	h.network.wakeAll()
}

// setHeld is hold for who holds mu.
func (h *host) setHeld(held bool) {
	if h.held && !held {
		close(h.resumed)
		h.resumed = make(chan struct{})
	}
	h.held = held
}

// end cuts a host off for good. If it is not silent its connections are reset,
// as the kernel of a process does that was killed.
func (h *host) end(silent bool) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if h.gone {
		return
	}
	h.gone, h.silent = true, silent
	close(h.ended)
	h.setHeld(false)
	for c := range h.conns {
		c.reset()
		if !silent {
			c.peer.reset()
		}
	}
	h.network.wakeAll()
}

// isSilent reports whether the machine is off, so that nobody hears of its end.
func (h *host) isSilent() bool {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	return h.silent
}

// reset breaks all connections of a host.
func (h *host) reset() {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	for c := range h.conns {
		c.reset()
		c.peer.reset()
	}
}

// runs waits while the host is stopped, and reports whether it still is there.
func (h *host) runs(ctx context.Context) bool {
	for {
		h.network.mu.Lock()
		held, gone, resumed := h.held, h.gone, h.resumed
		h.network.mu.Unlock()
		if gone || ctx.Err() != nil {
			return false
		}
		if !held {
			return true
		}
		select {
		case <-resumed:
		case <-ctx.Done():
		}
	}
}

// isGone reports whether the host has ended.
func (h *host) isGone() bool {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	return h.gone
}

// bound is addr with a port of its own in place of port 0. The caller holds mu.
func (n *network) bound(addr string) (host, port string, err error) {
	if host, port, err = net.SplitHostPort(addr); err == nil && port == "0" {
		port = n.port()
	}
	return host, port, err
}

// port is one that nobody has had. The caller holds mu.
func (n *network) port() string {
	n.next++
	return strconv.Itoa(n.next)
}

// sleep waits, and reports whether ctx has not ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func address(host, port string) *net.TCPAddr {
	n, _ := strconv.Atoi(port) // made by this package
	return &net.TCPAddr{IP: net.ParseIP(host), Port: n}
}

// heal takes back all that change did.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.cut, l.loss, l.slower, l.stalled = false, 0, 0, 0
	}
	n.wakeAll()
}
