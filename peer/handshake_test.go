package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/test/testcluster"
)

func dialPeer(t *testing.T, n node) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", n.self.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// received returns what the other side sends until it closes.
func received(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	var all bytes.Buffer
	_, err := io.Copy(&all, conn)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the connection was not closed")
	}
	return all.Bytes()
}

// testHandshake is the handshake of a node with these secrets.
func testHandshake(self, label string, secrets ...string) handshake {
	return handshake{
		dialer: new(net.Dialer).DialContext, keys: keysOf(secrets...), label: label, self: self,
		encrypt: encrypting, certificate: newCertificate,
	}
}

// hello is what the node that hs is of says first to the process to.
func hello(hs handshake, to string) []byte {
	key := hs.keys()[0]
	return hs.hello(key, shake{version: version(), to: to, from: hs.self, client: newNonce()})
}

// version is that of the handshakes of this round of the tests.
func version() byte {
	if encrypting {
		return encryptedVersion
	}
	return plainVersion
}

func TestStrangersGetNothingFromThePeerPort(t *testing.T) {
	n := start(t, "a")
	forged := hello(testHandshake("b", "test", testSecret), "a")
	forged[len(forged)-1]++
	for name, sent := range map[string][]byte{
		"silence":           nil,
		"HTTP":              []byte("GET /ok HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n\r\n"),
		"zeros":             make([]byte, 4096),
		"the magic":         []byte(handshakeMagic),
		"a wrong MAC":       append([]byte(handshakeMagic), append([]byte{version()}, make([]byte, 2+nonceSize+32)...)...),
		"another secret":    hello(testHandshake("b", "test", "a guess of the tests"), "a"),
		"no secret":         hello(testHandshake("b", "test", ""), "a"),
		"another label":     hello(testHandshake("b", "other", testSecret), "a"),
		"a MAC's last byte": forged,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dialPeer(t, n)
			if _, err := conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			if got := received(t, conn); len(got) > 0 {
				t.Errorf("got %d bytes: %q", len(got), got)
			}
		})
	}
}

// recorder keeps what is written to a connection.
type recorder struct {
	net.Conn
	sent bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// What a member has sent, sent again, gets the answer to its hello, which
// proves nothing to anybody, and no further.
func TestReplayedHandshakeFails(t *testing.T) {
	n := start(t, "a")
	first := &recorder{Conn: dialPeer(t, n)}
	proven, err := testHandshake("b", "test", testSecret).client(first, "a", false)
	if err != nil {
		t.Fatal(err)
	}
	member := newAskConn(proven)
	if a, err := member.ask(t.Context(), Question{Route: "ok", Text: "x"}, time.Now()); err != nil || string(a.Text) != "x" {
		t.Fatalf("the member itself got %q, %v", a.Text, err)
	}

	again := dialPeer(t, n)
	if _, err := again.Write(first.sent.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := received(t, again); !encrypting && len(got) > nonceSize+32 || encrypting && !isRefusedTLS(got) {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

// isRefusedTLS reports whether these are a server's part of TLS up to the alert that
// ends it: one that says nothing within.
func isRefusedTLS(b []byte) bool {
	hello := 0 // records of the handshake that can be read: the hello alone
	for len(b) >= 5 {
		size := 5 + int(b[3])<<8 + int(b[4])
		if size > len(b) {
			return false
		}
		if b[0] == 22 {
			hello++
		}
		b = b[size:]
	}
	return len(b) == 0 && hello == 1
}

// A server that answers with what it was sent must not be taken for a member.
func TestClientRefusesItsOwnReflection(t *testing.T) {
	hs := testHandshake("a", "l", testSecret)
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	go func() {
		defer func() { _ = theirs.Close() }()
		said := make([]byte, len(hello(hs, "b")))
		if _, err := io.ReadFull(theirs, said); err == nil {
			_, _ = theirs.Write(said[len(said)-nonceSize-32:])
			_, _ = io.ReadFull(theirs, make([]byte, 32))
			_, _ = theirs.Write([]byte{handshakeOK})
		}
	}()
	if _, err := hs.client(ours, "b", false); err == nil {
		t.Error("took its own words for a proof")
	}
}

// shakeHands makes a handshake between two nodes.
func shakeHands(t *testing.T, client, server handshake) (clientErr, serverErr error) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	var wg sync.WaitGroup
	wg.Go(func() { _, clientErr = client.client(ours, server.self, false) })
	wg.Go(func() {
		if _, _, serverErr = server.server(theirs); serverErr != nil {
			_ = theirs.Close()
		}
	})
	wg.Wait()
	return clientErr, serverErr
}

// The server takes whatever secret it has; the client uses its first.
func TestHandshakeWithSeveralSecrets(t *testing.T) {
	rotation := [][]string{{"old"}, {"old", "new"}, {"new", "old"}, {"new"}}
	for _, client := range rotation {
		for _, server := range rotation {
			err, refusal := shakeHands(t, testHandshake("a", "l", client...), testHandshake("b", "l", server...))
			if want := slices.Contains(server, client[0]); (err == nil) != want || (refusal == nil) != want {
				t.Errorf("a client with %q and a server with %q: %v and %v", client, server, err, refusal)
			}
			if refusal != nil && !errors.Is(refusal, errHandshake) {
				t.Errorf("refused with %v", refusal)
			}
		}
	}
}

// Strangers who keep connections open do not keep a member out.
func TestPeerPortUnderAFloodOfSilentConnections(t *testing.T) {
	nodes := startAll(t, 2)
	for range maxPending + 50 {
		dialPeer(t, nodes[1])
	}
	post(t, nodes[0], nodes[1].self)
}

func TestOldestHandshakeIsGivenUp(t *testing.T) {
	var said testcluster.Logged
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newAcceptor(inner, testHandshake("a", "l", testSecret), zerolog.New(&said))
	l.most = 8 // so few that all come well within the time of a handshake
	l.wg.Go(l.acceptAll)
	defer func() {
		l.close()
		l.wg.Wait()
	}()
	var conns []net.Conn
	for i := range l.most + 4 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
		testcluster.Soon(t, func() error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if n := len(l.pending); n > l.most {
				t.Fatalf("%d handshakes are under way", n)
			} else if n == 0 || l.pending[n-1].RemoteAddr().String() != conn.LocalAddr().String() {
				return fmt.Errorf("connection %d is not accepted", i)
			}
			return nil
		})
	}
	if got := received(t, conns[0]); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if lines := said.With(`"level":"warn"`, "gave up the oldest"); len(lines) != 1 || !json.Valid([]byte(lines[0])) {
		t.Errorf("logged %q", lines)
	}
}

func TestHandshakeIsForOneProcess(t *testing.T) {
	nodes := startAll(t, 2)
	for name, id := range map[string]string{"of another": nodes[0].self.id, "empty": "", "of an earlier start": "old"} {
		t.Run(name, func(t *testing.T) {
			conn, err := nodes[0].handshake.dial(t.Context(), nodes[1].self.addr, id, false)
			if !errors.Is(err, errHandshake) {
				t.Error(err)
			}
			if err == nil {
				_ = conn.Close()
			}
		})
	}
	long := strings.Repeat("i", 256)
	if _, err := nodes[0].handshake.dial(t.Context(), nodes[1].self.addr, long, false); err == nil || errors.Is(err, errHandshake) {
		t.Errorf("an ID that is too long: %v", err)
	}
}

// FuzzHandshake holds that the server says nothing to whoever does not hold the
// secret, whatever it is sent.
func FuzzHandshake(f *testing.F) {
	hs := testHandshake("self", "label", testSecret, "another secret of the tests")
	f.Add([]byte(handshakeMagic))
	f.Add([]byte(handshakeMagic + "\x02" + strings.Repeat("o", 64)))
	f.Add([]byte(handshakeMagic + "\x04\xff\xff" + strings.Repeat("o", 64)))
	f.Add([]byte(handshakeMagic + "\x03\xff\xff" + strings.Repeat("o", 64)))
	f.Add(hello(testHandshake("other", "label", "a guess of the tests"), "self"))
	f.Add(hello(hs, "self")) // its own
	f.Add(hello(testHandshake("other", "label", testSecret), "third"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		ours, theirs := net.Pipe()
		answered := make(chan int64)
		go func() {
			n, _ := io.Copy(io.Discard, ours)
			answered <- n
		}()
		go func() {
			_, _ = ours.Write(sent)
			_ = ours.Close()
		}()
		if _, _, err := hs.server(theirs); err == nil {
			t.Error("let a stranger in")
		}
		_ = theirs.Close()
		if n := <-answered; n > 0 {
			t.Errorf("a stranger got %d bytes", n)
		}
	})
}
