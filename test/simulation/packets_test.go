package simulation

import (
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// maxPackets is how many packets wait at a port; more are lost.
const maxPackets = 1024

// packetPort is a bound port for packets. The network's mutex guards its fields.
type packetPort struct {
	host   *host
	port   string
	alarm           // wakes its reader
	queue  []packet // by due
	closed bool
}

type packet struct {
	due   time.Time
	from  *net.UDPAddr
	bytes []byte
}

// ListenPacket binds a port for packets.
func (h *host) ListenPacket(_, addr string) (net.PacketConn, error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	on, port, err := n.bound(addr)
	if err != nil {
		return nil, err
	}
	if on != h.addr || h.packets[port] != nil {
		return nil, fmt.Errorf("listen %s: %w", addr, syscall.EADDRINUSE)
	}
	p := &packetPort{host: h, port: port, alarm: newAlarm()}
	h.packets[port] = p
	return p, nil
}

// ReadFrom waits for a packet.
func (p *packetPort) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := p.tryRead(b)
		if err != nil || from != nil {
			return n, from, err
		}
		p.wait()
	}
}

// tryRead reads a packet that is there, and otherwise sets the alarm.
func (p *packetPort) tryRead(b []byte) (n int, from net.Addr, err error) {
	p.host.network.mu.Lock()
	defer p.host.network.mu.Unlock()
	if p.closed {
		return 0, nil, net.ErrClosed
	}
	if len(p.queue) == 0 {
		p.set(time.Time{})
		return 0, nil, nil
	}
	first := p.queue[0]
	if first.due.After(time.Now()) {
		p.set(first.due)
		return 0, nil, nil
	}
	p.queue = p.queue[1:]
	return copy(b, first.bytes), first.from, nil
}

// WriteTo sends a packet, which may be lost.
func (p *packetPort) WriteTo(b []byte, to net.Addr) (int, error) {
	n := p.host.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.closed {
		return 0, net.ErrClosed
	}
	on, port, err := net.SplitHostPort(to.String())
	if err != nil {
		return 0, err
	}
	there, l, now := n.hosts[on], n.between(p.host.addr, on), time.Now()
	if there == nil || n.blocked(p.host, there) || l.lost(now, 0) {
		return len(b), nil
	}
	at := there.packets[port]
	if at == nil || len(at.queue) >= maxPackets {
		return len(b), nil
	}
	from := address(p.host.addr, p.port)
	next := packet{due: now.Add(l.delay(now)), from: &net.UDPAddr{IP: from.IP, Port: from.Port}, bytes: append([]byte(nil), b...)}
	i := len(at.queue)
	for i > 0 && at.queue[i-1].due.After(next.due) {
		i--
	}
	at.queue = slices.Insert(at.queue, i, next)
	if i == 0 {
		at.set(next.due)
	}
	return len(b), nil
}

// Close frees the port.
func (p *packetPort) Close() error {
	p.host.network.mu.Lock()
	defer p.host.network.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.closed = true
	delete(p.host.packets, p.port)
	p.wake()
	return nil
}

// LocalAddr is where it is bound.
func (p *packetPort) LocalAddr() net.Addr {
	a := address(p.host.addr, p.port)
	return &net.UDPAddr{IP: a.IP, Port: a.Port}
}

// SetDeadline is used by nobody.
func (p *packetPort) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline is used by nobody.
func (p *packetPort) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline is used by nobody.
func (p *packetPort) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
