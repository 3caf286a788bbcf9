package peer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

const (
	handshakeMagic   = "larder\x00" // and a byte that counts the ways to talk
	handshakeVersion = 3
	handshakeOK      = 1
	handshakeTimeout = 2 * time.Second
	dialTimeout      = time.Second
	nonceSize        = 32
	greetingSize     = len(handshakeMagic) + 1 + 1 + 1 // magic, version, and the lengths of two IDs
)

var (
	errHandshake = errors.New("the other side has another cluster secret or label, is of another release, is not the process that was meant, or no node of this program")
	// errRelease, errOther and errOwn refuse a hello that was made by a node.
	errRelease = errors.New("the other side speaks another version of the peer protocol: update all nodes to one release")
	errOther   = errors.New("meant for another process, which listened here before")
	errOwn     = errors.New("this node's own handshake came back to it: somebody relays connections")
)

// handshake proves to both ends of a new connection that the other holds a
// cluster secret and the label, and is who it says or is meant to be:
//
//	client → server  magic, version (1), length of to (1), of from (1), to, from, client's nonce, MAC("hello")
//	server → client  server's nonce, MAC("server")
//	client → server  MAC("client")
//	server → client  1
//
// Each MAC is over its name, hence its sender and the direction, and over all
// that was said until then: the version, the label, the IDs of the process that
// is meant and of the one that asks, and the nonces. So a handshake that is
// relayed reaches the very process that was meant or fails: any other refuses a
// hello to an ID that is not its own. And a node refuses its own hello, whose
// sender it is. docs/decisions/0021-bound-handshake.md goes through the attacks.
//
// Whoever does not hold the secret gets not one byte, since the server checks
// the hello before it speaks. Hello and client proof of an earlier connection,
// sent again, get an answer to the hello and no further: the server's nonce is
// new. The connection carries plain bytes afterwards: this keeps strangers out,
// and does not protect from someone who can change packets between two nodes
// that are alive.
//
// The ID that is meant is that of one start of a node. After a restart another
// process may listen where the other members still believe the old one to be.
// Were it to answer their questions, it would acknowledge a revocation on
// behalf of a process that has never heard of it and may be alive at another
// address.
//
// The client takes its first secret. The server takes the one of its secrets
// that made the hello, so that nodes whose secret is being replaced understand
// each other.
type handshake struct {
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	keys   func() [][]byte // those that are accepted now; the first is used to send
	label  string
	self   string
}

// shake is what the two ends of one connection have said.
type shake struct {
	to, from       string
	client, server []byte // their nonces
}

func (h handshake) mac(key []byte, role string, s shake) []byte {
	m := hmac.New(sha256.New, key)
	for _, part := range [][]byte{
		[]byte(role), []byte(h.label), {handshakeVersion}, []byte(s.to), []byte(s.from), s.client, s.server,
	} {
		_ = binary.Write(m, binary.BigEndian, uint32(len(part)))
		m.Write(part)
	}
	return m.Sum(nil)
}

// hello is what a client says first.
func (h handshake) hello(key []byte, s shake) []byte {
	b := append([]byte(handshakeMagic), handshakeVersion, byte(len(s.to)), byte(len(s.from)))
	b = append(append(append(b, s.to...), s.from...), s.client...)
	return append(b, h.mac(key, "hello", s)...)
}

// keyOf returns the key under which a client has said hello; nil if it is none
// of ours.
func (h handshake) keyOf(s shake, mac []byte) []byte {
	for _, key := range h.keys() {
		if hmac.Equal(mac, h.mac(key, "hello", s)) {
			return key
		}
	}
	return nil
}

// dial connects to the process with the ID to.
func (h handshake) dial(ctx context.Context, addr, to string) (net.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	conn, err := h.dialer(dialing, "tcp", addr)
	cancel()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := h.client(conn, to); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return conn, nil
}

// client authenticates a connection that this node has dialled.
func (h handshake) client(conn net.Conn, to string) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if len(to) > math.MaxUint8 || len(h.self) > math.MaxUint8 {
		return fmt.Errorf("an ID of more than %d bytes", math.MaxUint8)
	}
	key, s := h.keys()[0], shake{to: to, from: h.self, client: newNonce()}
	if _, err := conn.Write(h.hello(key, s)); err != nil {
		return err
	}
	answer := make([]byte, nonceSize+sha256.Size)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return refused(err)
	}
	s.server = answer[:nonceSize]
	if !hmac.Equal(answer[nonceSize:], h.mac(key, "server", s)) {
		return errHandshake
	}
	if _, err := conn.Write(h.mac(key, "client", s)); err != nil {
		return err
	}
	var ok [1]byte
	if _, err := io.ReadFull(conn, ok[:]); err != nil {
		return refused(err)
	}
	if ok[0] != handshakeOK {
		return errHandshake
	}
	return conn.SetDeadline(time.Time{})
}

// refused tells a connection that the other side closed from one that broke or
// stayed silent.
func refused(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errHandshake
	}
	return err
}

// server authenticates a connection that this node has accepted, and returns
// the ID of the process that asks. On an error nothing may be written to it.
func (h handshake) server(conn net.Conn) (from string, err error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return "", err
	}
	s, key, err := h.readHello(conn)
	if err != nil {
		return "", err
	}
	s.server = newNonce()
	if _, err := conn.Write(append(s.server[:nonceSize:nonceSize], h.mac(key, "server", s)...)); err != nil {
		return "", err
	}
	proof := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, proof); err != nil {
		return "", err
	}
	if !hmac.Equal(proof, h.mac(key, "client", s)) {
		return "", errHandshake
	}
	if _, err := conn.Write([]byte{handshakeOK}); err != nil {
		return "", err
	}
	return s.from, conn.SetDeadline(time.Time{})
}

// readHello reads a hello, and returns it with the key that made it.
func (h handshake) readHello(conn net.Conn) (s shake, key []byte, err error) {
	var greeting [greetingSize]byte
	magic := greeting[:len(handshakeMagic)+1]
	if _, err := io.ReadFull(conn, magic); err != nil {
		return s, nil, err
	}
	if string(magic[:len(handshakeMagic)]) != handshakeMagic {
		return s, nil, errHandshake
	}
	if version := magic[len(handshakeMagic)]; version != handshakeVersion {
		return s, nil, fmt.Errorf("%w: here it is %d, there %d", errRelease, handshakeVersion, version)
	}
	lengths := greeting[len(magic):]
	if _, err := io.ReadFull(conn, lengths); err != nil {
		return s, nil, err
	}
	to, from := int(lengths[0]), int(lengths[1])
	rest := make([]byte, to+from+nonceSize+sha256.Size) // some 600 bytes at most
	if _, err := io.ReadFull(conn, rest); err != nil {
		return s, nil, err
	}
	s.to, s.from = string(rest[:to]), string(rest[to:to+from])
	s.client = rest[to+from : to+from+nonceSize]
	switch key = h.keyOf(s, rest[to+from+nonceSize:]); {
	case key == nil:
		return s, nil, errHandshake
	case s.from == h.self:
		return s, nil, errOwn
	case s.to != h.self:
		return s, nil, errOther
	}
	return s, key, nil
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails: the program ends before it would
	return nonce
}
