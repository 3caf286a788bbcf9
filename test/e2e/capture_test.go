package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larder/test/testcluster"
)

// capture is what passes over loopback to and from some ports.
type capture struct {
	fd    int
	ports map[uint16]bool
	done  chan struct{}

	mu   sync.Mutex // guards seen
	seen map[string]*bytes.Buffer
}

// begin captures until end is called. It takes the right to see packets, which root
// has and few others.
func begin(t *testing.T, addrs ...string) *capture {
	t.Helper()
	c := &capture{ports: map[uint16]bool{}, done: make(chan struct{}), seen: map[string]*bytes.Buffer{}}
	for _, addr := range addrs {
		to, err := net.ResolveTCPAddr("tcp", addr)
		must(t, err)
		c.ports[uint16(to.Port)] = true
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(all))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("only who may see packets (root, or CAP_NET_RAW) can say that they hold nothing")
	}
	must(t, err)
	lo, err := net.InterfaceByName("lo")
	must(t, err)
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: lo.Index}))
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) // less of it misses packets
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	c.fd = fd
	stop := make(chan struct{})
	go c.read(stop)
	t.Cleanup(func() { c.end(stop) })
	return c
}

func (c *capture) end(stop chan struct{}) {
	close(stop)
	<-c.done
	_ = unix.Close(c.fd)
}

func (c *capture) read(stop chan struct{}) {
	defer close(c.done)
	packet := make([]byte, 128<<10)
	for {
		n, from, err := unix.Recvfrom(c.fd, packet, 0)
		select {
		case <-stop:
			return
		default:
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if err == nil && ok && link.Pkttype != unix.PACKET_OUTGOING { // on loopback each packet passes twice
			c.take(packet[:n])
		}
	}
}

// take keeps what a packet of IPv4 carries, by its ports.
func (c *capture) take(p []byte) {
	if len(p) < 20 || p[0]>>4 != 4 {
		return
	}
	protocol, at := p[9], int(p[0]&15)*4
	if len(p) < at+20 {
		return
	}
	from, to := binary.BigEndian.Uint16(p[at:]), binary.BigEndian.Uint16(p[at+2:])
	switch {
	case !c.ports[from] && !c.ports[to]:
		return
	case protocol == unix.IPPROTO_TCP:
		at += int(p[at+12]>>4) * 4
	case protocol == unix.IPPROTO_UDP:
		at += 8
	default:
		return
	}
	if at >= len(p) {
		return
	}
	flow := fmt.Sprintf("%d: %d to %d", protocol, from, to)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[flow] == nil {
		c.seen[flow] = &bytes.Buffer{}
	}
	c.seen[flow].Write(p[at:])
}

// holding are the flows that hold one of the words, and how much was seen in all.
func (c *capture) holding(words ...string) (flows []string, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for flow, seen := range c.seen {
		all += seen.Len()
		for _, w := range words {
			if bytes.Contains(seen.Bytes(), []byte(w)) {
				flows = append(flows, fmt.Sprintf("%s holds %q", flow, w))
			}
		}
	}
	return flows, all
}

// With TLS and the encryption that a chart's nodes have, nothing that passes between
// callers and nodes, and between nodes, holds a token, a key or a byte of an object;
// without, the same capture finds them all, so it would have seen them.
func TestNothingInTheClear(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted %v", encrypted), func(t *testing.T) { captureCluster(t, encrypted) })
	}
}

func captureCluster(t *testing.T, encrypted bool) {
	token := mint(t, "acme", "ada", "writer")
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, tokens, token)
	flags, scheme, c := []string{"--tokens-file", tokens}, "http://", client
	if encrypted {
		a := testcluster.NewAuthority(t, "ours")
		certFile, keyFile := a.Issue("node", named("node", ""), x509.ExtKeyUsageServerAuth)
		flags = append(flags, "--peer-encryption", "--tls-cert-file", certFile, "--tls-key-file", keyFile)
		scheme, c = "https://", secured(t, a, "", "")
	}
	nodes := testcluster.New(t, testcluster.Options{Secret: true, Flags: flags})
	var addrs []string
	for _, n := range nodes.Nodes {
		addrs = append(addrs, n.HTTPAddr, n.GossipAddr, n.PeerAddr)
	}
	seen := begin(t, addrs...)
	keyWord, byteWord := "key"+rand.Text(), "byte"+rand.Text()
	body := []byte(strings.Repeat(byteWord, 1000))
	send := func(method, target string, body []byte) {
		req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token.token)
		resp, err := c.Do(req)
		must(t, err)
		var got bytes.Buffer
		_, err = got.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if must(t, err); resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %s", method, target, resp.StatusCode, got.Bytes())
		}
	}
	for i := range 12 { // through each node, of keys that each node owns
		key := fmt.Sprintf("/v1/objects/%s%d", keyWord, i)
		send("PUT", scheme+nodes.Nodes[i%3].HTTPAddr+key, body)
		for _, n := range nodes.Nodes {
			send("GET", scheme+n.HTTPAddr+key, nil)
		}
		if i%4 == 0 {
			send("DELETE", scheme+nodes.Nodes[(i+1)%3].HTTPAddr+key, nil)
		}
	}
	send("GET", scheme+nodes.Nodes[0].HTTPAddr+"/v1/objects?prefix="+keyWord, nil)
	words := []string{token.token, keyWord, byteWord, nodes.Secret()}
	if !encrypted {
		testcluster.Eventually(t, 20*time.Second, "the capture holds what is in the clear", func() error {
			flows, _ := seen.holding(words...)
			for _, want := range words[:3] {
				if !strings.Contains(fmt.Sprint(flows), want) {
					return fmt.Errorf("%q is nowhere", want)
				}
			}
			return nil
		})
		return
	}
	testcluster.Eventually(t, 20*time.Second, "all is captured", func() error {
		if _, all := seen.holding(); all < 36*len(body) {
			return fmt.Errorf("%d bytes were seen", all)
		}
		return nil
	})
	if flows, _ := seen.holding(words...); len(flows) > 0 {
		t.Errorf("in the clear: %q", flows)
	}
}
