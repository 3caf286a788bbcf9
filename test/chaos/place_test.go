package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// place is where a node runs: this process's own network, or a network
// namespace that has a loopback of its own and a tunnel to the other places.
type place struct {
	ip    string // where the other nodes reach it
	local string // where this process does, and where its door to S3 is
	ns    int    // the namespace; -1 if it is this process's
}

// The ports of every place. They are below those that the kernel and package
// testcluster choose from.
const (
	httpPort = 11080 + iota
	adminPort
	gossipPort
	peerPort
	s3Port
)

// loopback makes a place in this process's own network. All of 127.0.0.0/8 is
// loopback, so an address by chance is one that nobody else uses.
func loopback() place {
	ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(250), 1+rand.IntN(250), 1+rand.IntN(250))
	return place{ip: ip, local: ip, ns: -1}
}

// at joins a host and a port.
func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// do calls f on a thread that is in the place: sockets which f makes, and
// processes which it starts, belong there. f must not start goroutines for that.
func (p place) do(f func() error) error {
	if p.ns < 0 {
		return f()
	}
	runtime.LockOSThread() // stays locked, and so ends with its goroutine, if the way back fails
	home, err := ownNamespace()
	if err != nil {
		return err
	}
	defer unix.Close(home)
	if err := unix.Setns(p.ns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer func() {
		if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
			panic(fmt.Errorf("leave namespace: %w", err))
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

func (p place) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = p.do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

func (p place) listen(addr string) (l net.Listener, err error) {
	err = p.do(func() error {
		l, err = net.Listen("tcp", addr)
		return err
	})
	return l, err
}

func ownNamespace() (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open own namespace: %w", err)
	}
	return fd, nil
}

// newPlace makes a namespace without a name: it is gone when its processes and
// its descriptor are, whatever becomes of this process. tunnel carries its IP
// packets.
func newPlace(ip string) (p place, tunnel *os.File, err error) {
	runtime.LockOSThread() // as in do
	home, err := ownNamespace()
	if err != nil {
		return p, nil, err
	}
	defer unix.Close(home)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return p, nil, fmt.Errorf("make namespace: %w", err)
	}
	defer func() {
		if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
			panic(fmt.Errorf("leave namespace: %w", back))
		}
		runtime.UnlockOSThread()
	}()
	p = place{ip: ip, local: "127.0.0.1"}
	if p.ns, err = ownNamespace(); err != nil {
		return p, nil, err
	}
	if tunnel, err = openTunnel(ip); err != nil {
		_ = unix.Close(p.ns)
		return p, nil, err
	}
	return p, tunnel, nil
}

// openTunnel brings up the loopback of the thread's namespace, and an
// interface whose packets are read from and written to the file.
func openTunnel(ip string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open tunnel: %w", err)
	}
	const name = "larder0"
	err = request(fd, unix.TUNSETIFF, name, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return nil
	})
	if err == nil {
		err = configure(name, ip)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("open tunnel: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func configure(name, ip string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	inet := func(addr string) func(*unix.Ifreq) error {
		return func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(addr).To4()) }
	}
	if err := request(s, unix.SIOCSIFFLAGS, "lo", up); err != nil {
		return err
	}
	if err := request(s, unix.SIOCSIFADDR, name, inet(ip)); err != nil {
		return err
	}
	if err := request(s, unix.SIOCSIFNETMASK, name, inet("255.255.255.0")); err != nil {
		return err
	}
	return request(s, unix.SIOCSIFFLAGS, name, up)
}

func request(fd int, what uint, name string, set func(*unix.Ifreq) error) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := set(r); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, what, r)
}
