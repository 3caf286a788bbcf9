package peer

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/test/testcluster"
)

// inTheMiddle passes a hello on from a node that dials to the node that is meant, ends
// TLS towards both, and passes on what they say within. It returns what the node that
// was meant answered to the other's proof.
func inTheMiddle(conn, meant net.Conn) (said []byte, err error) {
	hello := make([]byte, greetingSize)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return nil, err
	}
	rest := make([]byte, int(hello[greetingSize-2])+int(hello[greetingSize-1])+nonceSize+sha256.Size)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return nil, err
	}
	if _, err := meant.Write(append(hello, rest...)); err != nil {
		return nil, err
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	towardsServer := tls.Client(meant, &tls.Config{InsecureSkipVerify: true})
	if err := towardsServer.Handshake(); err != nil {
		return nil, err
	}
	towardsClient := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
	proof := make([]byte, sha256.Size)
	if _, err := io.ReadFull(towardsClient, proof); err != nil {
		return nil, err
	}
	if _, err := towardsServer.Write(proof); err != nil {
		return nil, err
	}
	said, _ = io.ReadAll(towardsServer)
	if _, err := towardsClient.Write(append(said, make([]byte, sha256.Size)...)[:sha256.Size]); err != nil {
		return said, err
	}
	return said, nil
}

// Who ends TLS towards both nodes passes for neither: what proves the secret in one
// connection proves nothing in the other.
func TestManInTheMiddle(t *testing.T) {
	n := start(t, "a")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		meant := dialPeer(t, n)
		defer func() { _ = meant.Close() }()
		if said, err := inTheMiddle(conn, meant); err != nil || len(said) > 0 {
			t.Errorf("the node that was meant says %q, %v", said, err)
		}
	})
	conn, err := testHandshake("b", "test", testSecret).dial(t.Context(), l.Addr().String(), "a", true)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, errHandshake) {
		t.Errorf("the node that dials says %v", err)
	}
}

// Two nodes talk, both ways, encrypted if either wants that.
func TestEitherEncrypts(t *testing.T) {
	for _, c := range []struct{ a, b, encrypted bool }{{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}} {
		nodes := map[string]node{}
		taps := map[string]*tap{}
		for id, encrypt := range map[string]bool{"a": c.a, "b": c.b} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			taps[id] = &tap{Listener: l}
			nodes[id] = serve(t, taps[id], Config{ID: id, Label: "test", Keys: keysOf(testSecret), Encrypt: encrypt, Log: testcluster.Logger()})
		}
		for asker, asked := range map[string]string{"a": "b", "b": "a"} {
			self := nodes[asked].self
			pool := nodes[asker].Pool(self.id, self.addr, nodes[asked].cfg.Encrypt)
			const word = "a word that is easily found"
			a, err := pool.Ask(t.Context(), Question{Route: "ok", Text: word, Body: []byte(word), Room: 1 << 10})
			if err != nil || a.Status != http.StatusOK || string(a.Text) != word || string(a.Body) != word {
				t.Errorf("%+v: %s asks: %d %q %v", c, asker, a.Status, a.Text, err)
			}
			pool.End(errGone)
			if seen := taps[asked].has([]byte(word)); seen == c.encrypted {
				t.Errorf("%+v: %s asks, and the word is seen: %v", c, asker, seen)
			}
		}
	}
}

// tap keeps what is sent on the connections that it accepts, both ways.
type tap struct {
	net.Listener
	mu   sync.Mutex // guards seen
	seen bytes.Buffer
}

func (l *tap) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{conn, l}, nil
}

func (l *tap) keep(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.Write(b)
}

func (l *tap) has(word []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.seen.Bytes(), word)
}

type tapped struct {
	net.Conn
	by *tap
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.by.keep(b[:n])
	return n, err
}

func (c *tapped) Write(b []byte) (int, error) {
	c.by.keep(b)
	return c.Conn.Write(b)
}

// A node that encrypts refuses one of a release that does not, which is told, and is
// refused by it: neither way is half open.
func TestReleaseThatDoesNotEncrypt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var said testcluster.Logged
	n := serve(t, l, Config{ID: "a", Label: "test", Keys: keysOf(testSecret), Encrypt: true, Log: zerolog.New(&said)})
	old := testHandshake("b", "test", testSecret)
	old.encrypt = false
	if _, err := old.dial(t.Context(), n.self.addr, "a", false); !errors.Is(err, errHandshake) {
		t.Errorf("the older release is let in: %v", err)
	}
	testcluster.Soon(t, func() error {
		if len(said.With(`"level":"warn"`, "--peer-encryption")) == 0 {
			return errors.New("no warning")
		}
		return nil
	})
}

// The end of an encrypted connection is seen by who keeps it, and by who works on an
// answer for it.
func TestEncryptedConnectionsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	hs := testHandshake("a", "test", testSecret)
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			conn, _, err = hs.server(conn)
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	dialled, err := testHandshake("b", "test", testSecret).dial(t.Context(), l.Addr().String(), "a", true)
	if err != nil {
		t.Fatal(err)
	}
	kept, served := newAskConn(dialled), <-accepted
	if !kept.alive() {
		t.Error("a connection that was just made is not alive")
	}
	asked := &answerConn{Conn: served}
	if asked.closed() {
		t.Error("a connection that was just made is closed")
	}
	_ = kept.Close()
	testcluster.Soon(t, func() error {
		if !asked.closed() {
			return errors.New("its end is not seen")
		}
		return nil
	})
	if _, err := served.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("what is read at the end: %v", err)
	}
	_ = served.Close()
}

// Large bodies arrive whole, in both directions.
func TestEncryptedBodies(t *testing.T) {
	nodes := startAll(t, 2)
	body := []byte(strings.Repeat("larder ", 1<<20))
	self := nodes[1].self
	pool := nodes[0].Pool(self.id, self.addr, true)
	defer pool.End(errGone)
	for range 3 {
		began := time.Now()
		a, err := pool.Ask(t.Context(), Question{Route: "ok", Body: body, Room: 16 << 20})
		if err != nil || !bytes.Equal(a.Body, body) {
			t.Fatalf("%d bytes, %v after %s", len(a.Body), err, time.Since(began))
		}
	}
}
