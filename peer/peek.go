package peer

import (
	"net"
	"syscall"
)

// Peeker is a connection that is no socket and tells by itself what has arrived.
type Peeker interface {
	// Peek returns how many bytes can be read at once: none without an error
	// at the connection's end, and syscall.EAGAIN if nothing has arrived.
	Peek() (n int, err error)
}

// peek looks at what has arrived on a connection, and takes nothing. raw.Read
// would fail once the deadline of the last answer has passed, raw.Control does
// not mind it.
func peek(conn net.Conn) (n int, err error) {
	if p, ok := conn.(Peeker); ok {
		return p.Peek()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0, syscall.EAGAIN // who cannot tell is taken for open
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var arrived error
	err = raw.Control(func(fd uintptr) {
		n, _, arrived = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	if err != nil {
		return 0, err
	}
	return n, arrived
}
