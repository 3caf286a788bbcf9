package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"larder/test/testcluster"
)

// relay listens where a node dials, and gives to each connection another end
// that it has dialled: somebody in the middle who changes nothing.
func relay(t *testing.T, to string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			if other, err := net.Dial("tcp", to); err == nil {
				pass(conn, other)
			}
			stop()
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		end()
		<-done
	})
	return l.Addr().String()
}

// pass carries bytes both ways until either end closes.
func pass(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(a, b)
		_ = a.Close()
	}()
	_, _ = io.Copy(b, a)
	_ = b.Close()
	<-done
}

// A node's own handshake, given back to it by who listens at the address of a
// member that died, lets nobody in, and is told.
func TestRelayToTheNodeItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var said testcluster.Logged
	a := serve(t, l, Config{ID: "a", Label: "test", Keys: keysOf(testSecret), Encrypt: encrypting, Log: zerolog.New(&said)})
	dead := member{id: "b", addr: relay(t, a.self.addr)}
	if _, err := ask(t.Context(), a, dead, Question{Text: "x"}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("the relay answers: %v", err)
	}
	testcluster.Soon(t, func() error {
		if len(said.With(`"level":"warn"`, errOwn.Error())) == 0 {
			return errors.New("no warning")
		}
		return nil
	})
}

// A third node, which knows the same secret, is not the one that was meant.
func TestRelayToAThirdNode(t *testing.T) {
	nodes := startAll(t, 3)
	b := member{id: nodes[1].self.id, addr: relay(t, nodes[2].self.addr)}
	if _, err := ask(t.Context(), nodes[0], b, Question{Text: "x"}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("the relay answers: %v", err)
	}
}

// Who is meant, alive and reached in a roundabout way, is who is meant.
func TestRelayToTheNodeThatIsMeant(t *testing.T) {
	nodes := startAll(t, 2)
	post(t, nodes[0], member{id: nodes[1].self.id, addr: relay(t, nodes[1].self.addr)})
}

// The proofs of a session do not serve in another one that is under way, nor in
// the other direction: the server's proof, the client's, and what either said. Those of
// encrypted ones are TestManInTheMiddle's.
func TestParallelSessions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := serve(t, l, Config{ID: "node-1", Label: "test", Keys: keysOf(testSecret), Log: testcluster.Logger()})
	a := testHandshake("node-0", "test", testSecret)
	key, s := a.keys()[0], shake{version: plainVersion, to: "node-1", from: "node-0", client: newNonce()}
	said := a.hello(key, s)
	first, second := dialPeer(t, n), dialPeer(t, n)
	answer := make([]byte, nonceSize+32)
	for _, conn := range []net.Conn{first, second} {
		if _, err := conn.Write(said); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
	}
	s.server = answer[:nonceSize]
	for name, proof := range map[string][]byte{
		"that of the other session": a.mac(key, "client", s), // of second
		"the server's own":          answer[nonceSize:],
	} {
		conn := first
		if name != "that of the other session" {
			conn = dialPeer(t, n)
			if _, err := conn.Write(said); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, len(answer))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.Write(proof); err != nil {
			t.Fatal(err)
		}
		if got := received(t, conn); len(got) > 0 {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Whoever changes a byte of a hello, be it in the IDs, gets not one back.
func TestAlteredHello(t *testing.T) {
	n := start(t, "a")
	good := hello(testHandshake("b", "test", testSecret), "a")
	for i := range good {
		if i == greetingSize-2 || i == greetingSize-1 {
			continue // a longer ID is one whose bytes do not come
		}
		bad := bytes.Clone(good)
		bad[i] ^= 1
		conn := dialPeer(t, n)
		if _, err := conn.Write(bad); err != nil {
			t.Fatal(err)
		}
		if got := received(t, conn); len(got) > 0 {
			t.Errorf("byte %d: got %q", i, got)
		}
	}
	a := testHandshake("a", "test", testSecret)
	for _, moved := range []shake{{to: "a", from: "bc"}, {to: "ab", from: "c"}} { // the border between the IDs
		moved.client = make([]byte, nonceSize)
		if bytes.Equal(a.mac([]byte("k"), "hello", moved), a.mac([]byte("k"), "hello", shake{to: "abc", client: moved.client})) {
			t.Errorf("%v has the MAC of others", moved)
		}
	}
}

// Nodes of two releases do not talk, and both say why.
func TestAnotherReleaseIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var said testcluster.Logged
	n := serve(t, l, Config{ID: "a", Label: "test", Keys: keysOf(testSecret), Encrypt: encrypting, Log: zerolog.New(&said)})
	conn := dialPeer(t, n)
	if _, err := fmt.Fprint(conn, handshakeMagic, "\x02", strings.Repeat("o", 64)); err != nil {
		t.Fatal(err)
	}
	if got := received(t, conn); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	testcluster.Soon(t, func() error {
		if len(said.With(`"level":"warn"`, "update all nodes to one release", "here it is 4, there 2")) == 0 {
			return errors.New("no warning")
		}
		return nil
	})

	old, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	go func() { // closes on a version that it does not know
		if conn, err := old.Accept(); err == nil {
			_, _ = io.ReadFull(conn, make([]byte, len(handshakeMagic)+1))
			_ = conn.Close()
		}
	}()
	_, err = ask(t.Context(), n, member{id: "old", addr: old.Addr().String()}, Question{Once: true})
	if !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

// A member's connection beyond what may be open is refused; those that are open
// stay, and one that ends makes room.
func TestOpenConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var said testcluster.Logged
	a := newAcceptor(inner, testHandshake("a", "test", testSecret), zerolog.New(&said))
	ended := make(chan struct{})
	a.enter = func(conn net.Conn, _ string) {
		<-ended
		_ = conn.Close()
	}
	a.entered = maxEntered - 1
	a.wg.Go(a.acceptAll)
	defer func() {
		a.close()
		a.wg.Wait()
	}()
	b := testHandshake("b", "test", testSecret)
	if _, err := b.dial(t.Context(), inner.Addr().String(), "a", false); err != nil {
		t.Fatal(err)
	}
	testcluster.Soon(t, func() error {
		if n := a.count(0); n != maxEntered {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	conn, err := b.dial(t.Context(), inner.Addr().String(), "a", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := received(t, conn); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if len(said.With(`"level":"warn"`, "as many are open as are allowed")) != 1 {
		t.Error("no warning")
	}
	close(ended)
	testcluster.Soon(t, func() error {
		if n := a.count(0); n != maxEntered-1 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
}
