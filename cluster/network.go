package cluster

import (
	"context"
	"net"
)

// Network is where a node binds its ports and reaches others.
type Network interface {
	Listen(network, addr string) (net.Listener, error)
	ListenPacket(network, addr string) (net.PacketConn, error)
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// realNetwork is the machine's.
type realNetwork struct{ net.Dialer }

// Listen binds a port for connections.
func (*realNetwork) Listen(network, addr string) (net.Listener, error) {
	return net.Listen(network, addr)
}

// ListenPacket binds a port for packets.
func (*realNetwork) ListenPacket(network, addr string) (net.PacketConn, error) {
	return net.ListenPacket(network, addr)
}
