package testcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken below the range from which the kernel gives outgoing
// connections theirs, in blocks of which each belongs to one test process: a
// port stays free while the process that had it is down.
const (
	firstPort = 12_000
	blockSize = 100
	blocks    = 200
)

// ports are those that this test process may give away.
type ports struct {
	mu   sync.Mutex // guards all below
	next int
	end  int
	held []net.Listener // one for each block that was taken; they close with the process
}

var free ports //nolint:gochecknoglobals // the test process takes blocks, not a test

// FreeAddr returns an address on loopback, free for TCP and UDP, that no other
// call returns, in this test process or another. A program that is no test
// may take it before it is used: who starts a server there must be ready to
// try another.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := free.take()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func (p *ports) take() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.next == p.end {
			if err := p.takeBlock(); err != nil {
				return "", err
			}
		}
		addr := "127.0.0.1:" + strconv.Itoa(p.next)
		p.next++
		if isFree(addr) {
			return addr, nil
		}
	}
}

// takeBlock takes a block that no other test process has: whoever has one
// listens on a socket of its name, which the kernel frees with the process.
// The caller holds mu.
func (p *ports) takeBlock() error {
	for _, n := range rand.Perm(blocks) {
		l, err := net.Listen("unix", fmt.Sprintf("@larder-testcluster-ports-%d", n))
		if err != nil {
			continue
		}
		p.held = append(p.held, l)
		p.next = firstPort + n*blockSize
		p.end = p.next + blockSize
		return nil
	}
	return fmt.Errorf("all %d blocks of %d ports are taken", blocks, blockSize)
}

func isFree(addr string) bool {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = tcp.Close() }() // a listener that nobody has used
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return udp.Close() == nil
}
