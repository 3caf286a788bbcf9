package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

const (
	bindTries     = 10      // at port 0: TCP's free port may be taken for UDP
	udpBuffer     = 2 << 20 // asked of the kernel, to ride out bursts
	maxPacket     = 64 << 10
	acceptBackoff = 50 * time.Millisecond
	resolveWait   = 5 * time.Second
	// maxStreams is how many connections others may have to the gossip port. A
	// member needs one for some milliseconds, each half a minute.
	maxStreams = 64
	warnEvery  = time.Minute
)

// errNobody says that all addresses to join are known and nobody listens there,
// not even to refuse this node.
var errNobody = errors.New("nobody listens there")

// gossipSockets are one port, bound for TCP and UDP.
type gossipSockets struct {
	network Network
	tcp     net.Listener
	udp     net.PacketConn
}

func (s gossipSockets) addr() *net.TCPAddr { return s.tcp.Addr().(*net.TCPAddr) }

func (s gossipSockets) close() {
	_ = s.tcp.Close()
	_ = s.udp.Close()
}

func bindGossip(network Network, addr string) (gossipSockets, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return gossipSockets{}, bindError("--gossip-addr", addr, err)
	}
	tries := 1
	if port == "0" {
		tries = bindTries
	}
	for range tries {
		var s gossipSockets
		if s, err = bindBoth(network, addr); err == nil {
			return s, nil
		}
	}
	return gossipSockets{}, bindError("--gossip-addr", addr, err)
}

func bindBoth(network Network, addr string) (gossipSockets, error) {
	tcp, err := network.Listen("tcp", addr)
	if err != nil {
		return gossipSockets{}, err
	}
	udp, err := network.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		_ = tcp.Close()
		return gossipSockets{}, err
	}
	if socket, ok := udp.(*net.UDPConn); ok {
		_ = socket.SetReadBuffer(udpBuffer) // the kernel caps it silently; gossip survives a small one
	}
	return gossipSockets{network: network, tcp: tcp, udp: udp}, nil
}

// bindError names the flag that has to change.
func bindError(flag, addr string, err error) error {
	return fmt.Errorf("%s %s: give an address of this machine and a free port: %w", flag, addr, err)
}

// advertised returns the host that others are told for a socket bound to bound,
// and its IP.
func advertised(advertise string, bound net.IP) (string, net.IP, error) {
	if advertise != "" {
		ctx, cancel := context.WithTimeout(context.Background(), resolveWait)
		defer cancel()
		ips, err := net.DefaultResolver.LookupIP(ctx, "ip", advertise)
		if err != nil {
			return "", nil, fmt.Errorf("--advertise %s: give an IP address or a name that resolves: %w", advertise, err)
		}
		return advertise, ips[0], nil
	}
	if !bound.IsUnspecified() {
		return bound.String(), bound, nil
	}
	private, err := sockaddr.GetPrivateIP()
	if err != nil {
		return "", nil, fmt.Errorf("look for a private address to tell the others: set --advertise: %w", err)
	}
	ip := net.ParseIP(private)
	if ip == nil {
		return "", nil, errors.New("bound to all addresses and none of them is private: set --advertise to the one that others reach")
	}
	return private, ip, nil
}

// gossipTransport carries memberlist over sockets that are bound already.
// memberlist's own transport binds and starts at once, and New must bind without
// starting.
type gossipTransport struct {
	sockets gossipSockets
	ip      net.IP
	log     zerolog.Logger

	packets chan *memberlist.Packet
	streams chan net.Conn
	life    lifetime
	done    chan struct{}
	close   sync.Once
	wg      sync.WaitGroup

	mu      sync.Mutex  // guards inbound
	inbound []*tiedConn // that others opened, oldest first
}

var _ memberlist.NodeAwareTransport = (*gossipTransport)(nil)

func newGossipTransport(s gossipSockets, ip net.IP, log zerolog.Logger) *gossipTransport {
	t := &gossipTransport{
		sockets: s,
		ip:      ip,
		log:     log.Sample(&zerolog.BurstSampler{Burst: 1, Period: warnEvery}),
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		life:    newLifetime(),
		done:    make(chan struct{}),
	}
	t.wg.Go(t.readPackets)
	t.wg.Go(t.acceptStreams)
	return t
}

// FinalAdvertiseAddr says where others reach this node.
func (t *gossipTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.ip, t.sockets.addr().Port, nil
}

// PacketCh is where memberlist takes packets from.
func (t *gossipTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is where memberlist takes connections from.
func (t *gossipTransport) StreamCh() <-chan net.Conn { return t.streams }

// WriteTo sends one packet.
func (t *gossipTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.sockets.udp.WriteTo(b, to)
	return time.Now(), err
}

// WriteToAddress sends one packet; members are told apart by their addresses.
func (t *gossipTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// DialTimeout connects to a member.
func (t *gossipTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, release := t.life.bind(context.Background())
	dialing, cancel := context.WithTimeout(ctx, timeout)
	conn, err := t.sockets.network.DialContext(dialing, "tcp", addr)
	cancel()
	if err != nil {
		release()
		return nil, fmt.Errorf("%w: %w", errNobody, err)
	}
	return tie(ctx, release, conn), nil
}

// DialAddressTimeout connects to a member.
func (t *gossipTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown closes the sockets and every stream, and waits until nothing reads
// them.
func (t *gossipTransport) Shutdown() error {
	t.close.Do(func() {
		close(t.done)
		t.life.end(net.ErrClosed)
		t.sockets.close()
	})
	t.wg.Wait()
	return nil
}

func (t *gossipTransport) readPackets() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := t.sockets.udp.ReadFrom(buf)
		now := time.Now()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			t.log.Debug().Err(err).Msg("reading a gossip packet")
			continue
		case n == 0:
			continue
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: now}
		select {
		case t.packets <- p:
		case <-t.done:
			return
		}
	}
}

func (t *gossipTransport) acceptStreams() {
	for {
		conn, err := t.sockets.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: it passes
			t.log.Warn().Err(err).Msg("accepting a gossip connection: waiting before the next")
			select {
			case <-time.After(acceptBackoff):
				continue
			case <-t.done:
				return
			}
		}
		stream := t.enlist(conn)
		select {
		case t.streams <- stream:
		case <-t.done:
			_ = stream.Close()
			return
		}
	}
}

// enlist counts a connection that another opened. When there are too many the
// oldest is closed: strangers who keep connections open without a word can neither
// keep members out nor take all file descriptors.
func (t *gossipTransport) enlist(conn net.Conn) *tiedConn {
	ctx, release := t.life.bind(context.Background())
	var stream *tiedConn
	stream = tie(ctx, func() {
		release()
		t.forget(stream)
	}, conn)
	t.mu.Lock()
	t.inbound = append(t.inbound, stream)
	var oldest *tiedConn
	if len(t.inbound) > maxStreams {
		oldest = t.inbound[0]
	}
	t.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return stream
}

func (t *gossipTransport) forget(stream *tiedConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inbound = slices.DeleteFunc(t.inbound, func(s *tiedConn) bool { return s == stream })
}

// tiedConn is a connection that closes when a context ends, so that memberlist
// does not go on waiting for it.
type tiedConn struct {
	net.Conn
	release func()
}

func tie(ctx context.Context, release func(), conn net.Conn) *tiedConn {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &tiedConn{Conn: conn, release: func() {
		stop()
		release()
	}}
}

// Close closes the connection.
func (c *tiedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
