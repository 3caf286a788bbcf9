package testcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports are taken below the range from which the kernel gives outgoing
// connections theirs, so that a port stays free while its process is down.
const (
	firstPort = 12_000
	lastPort  = 32_000
	portTries = 200
)

// FreeAddr returns an address on loopback that was free, for TCP and UDP, a
// moment ago. Another process may take it before it is used: who starts a
// server there must be ready to try another.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var err error
	for range portTries {
		addr := "127.0.0.1:" + strconv.Itoa(firstPort+rand.N(lastPort-firstPort))
		if err = free(addr); err == nil {
			return addr
		}
	}
	t.Fatalf("no free port in %d tries: %v", portTries, err)
	return ""
}

func free(addr string) error {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("try %s: %w", addr, err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return fmt.Errorf("try %s: %w", addr, err)
	}
	return udp.Close()
}
