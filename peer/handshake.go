package peer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"syscall"
	"time"
)

const (
	handshakeMagic   = "larder\x00" // and a byte that counts the ways to talk
	plainVersion     = 3
	encryptedVersion = 4
	handshakeOK      = 1
	handshakeTimeout = 2 * time.Second
	dialTimeout      = time.Second
	nonceSize        = 32
	greetingSize     = len(handshakeMagic) + 1 + 1 + 1 // magic, version, and the lengths of two IDs
)

var (
	errHandshake = errors.New("the other side has another cluster secret or label, is of another release, is not the process that was meant, or no node of this program; or one of the two has --peer-encryption and the other a release without it")
	// errRelease, errPlain, errOther and errOwn refuse a hello that was made by a node.
	errRelease = errors.New("the other side speaks another version of the peer protocol: update all nodes to one release, or give the newer --peer-encryption=false until then")
	errPlain   = errors.New("the other side does not encrypt, and this node has --peer-encryption: update all nodes to one release, or give it --peer-encryption=false until then")
	errOther   = errors.New("meant for another process, which listened here before")
	errOwn     = errors.New("this node's own handshake came back to it: somebody relays connections")
)

// handshake proves to both ends of a new connection that the other holds a
// cluster secret and the label, and is who it says or is meant to be. In the open
// (version 3) it goes:
//
//	client → server  magic, version (1), length of to (1), of from (1), to, from, client's nonce, MAC("hello")
//	server → client  server's nonce, MAC("server")
//	client → server  MAC("client")
//	server → client  1
//
// Encrypted (version 4) the same hello is followed by TLS 1.3 with a certificate that
// the server made for itself, which proves nothing, and all else is said within. In
// place of the server's nonce stands what both ends of this one TLS connection derive
// from it, and nobody else can (its exporter: RFC 8446, section 7.5):
//
//	client → server  magic, version, …, MAC("hello"), and TLS begins
//	client → server  MAC("client")
//	server → client  MAC("server")
//
// Each MAC is over its name, hence its sender and the direction, and over all
// that was said until then: the version, the label, the IDs of the process that
// is meant and of the one that asks, and the nonces. So a handshake that is
// relayed reaches the very process that was meant or fails: any other refuses a
// hello to an ID that is not its own. And a node refuses its own hello, whose
// sender it is. Who stands in the middle of two nodes and ends TLS towards both has
// two connections, whose exporters differ, and no proof of one holds for the other.
// docs/decisions/0021-bound-handshake.md and 0050-peer-encryption.md go through the
// attacks.
//
// Whoever does not hold the secret gets not one byte, since the server checks
// the hello before it speaks. Hello and client proof of an earlier connection,
// sent again, get an answer to the hello and no further: the server's nonce, or the
// TLS connection, is new.
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
	// encrypt refuses connections in the open, and dials none.
	encrypt     bool
	certificate func() (tls.Certificate, error)
}

// shake is what the two ends of one connection have said.
type shake struct {
	version        byte
	to, from       string
	client, server []byte // their nonces
}

func (h handshake) mac(key []byte, role string, s shake) []byte {
	m := hmac.New(sha256.New, key)
	for _, part := range [][]byte{
		[]byte(role), []byte(h.label), {s.version}, []byte(s.to), []byte(s.from), s.client, s.server,
	} {
		_ = binary.Write(m, binary.BigEndian, uint32(len(part)))
		m.Write(part)
	}
	return m.Sum(nil)
}

// hello is what a client says first.
func (h handshake) hello(key []byte, s shake) []byte {
	b := append([]byte(handshakeMagic), s.version, byte(len(s.to)), byte(len(s.from)))
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

// dial connects to the process with the ID to, which may want the connection
// encrypted.
func (h handshake) dial(ctx context.Context, addr, to string, encrypt bool) (net.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	conn, err := h.dialer(dialing, "tcp", addr)
	cancel()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	proven, err := h.client(conn, to, encrypt)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return proven, nil
}

// client authenticates a connection that this node has dialled, and returns the one
// to talk on.
func (h handshake) client(conn net.Conn, to string, encrypt bool) (net.Conn, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	if len(to) > math.MaxUint8 || len(h.self) > math.MaxUint8 {
		return nil, fmt.Errorf("an ID of more than %d bytes", math.MaxUint8)
	}
	key, s := h.keys()[0], shake{version: plainVersion, to: to, from: h.self, client: newNonce()}
	if h.encrypt || encrypt {
		s.version = encryptedVersion
	}
	if _, err := conn.Write(h.hello(key, s)); err != nil {
		return nil, err
	}
	var err error
	if s.version == encryptedVersion {
		conn, err = h.clientEncrypted(conn, key, s)
	} else {
		err = h.clientPlain(conn, key, s)
	}
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

func (h handshake) clientPlain(conn net.Conn, key []byte, s shake) error {
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
	return nil
}

// refused tells a connection that the other side closed, with something unread or not,
// from one that broke or stayed silent.
func refused(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return errHandshake
	}
	return err
}

// server authenticates a connection that this node has accepted, and returns the one
// to talk on and the ID of the process that asks. On an error nothing may be written
// to it.
func (h handshake) server(conn net.Conn) (proven net.Conn, from string, err error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, "", err
	}
	s, key, err := h.readHello(conn)
	if err != nil {
		return nil, "", err
	}
	if s.version == encryptedVersion {
		conn, err = h.serverEncrypted(conn, key, s)
	} else {
		err = h.serverPlain(conn, key, s)
	}
	if err != nil {
		return nil, "", err
	}
	return conn, s.from, conn.SetDeadline(time.Time{})
}

func (h handshake) serverPlain(conn net.Conn, key []byte, s shake) error {
	s.server = newNonce()
	if _, err := conn.Write(append(s.server[:nonceSize:nonceSize], h.mac(key, "server", s)...)); err != nil {
		return err
	}
	proof := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, proof); err != nil {
		return err
	}
	if !hmac.Equal(proof, h.mac(key, "client", s)) {
		return errHandshake
	}
	_, err := conn.Write([]byte{handshakeOK})
	return err
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
	switch s.version = magic[len(handshakeMagic)]; {
	case s.version == encryptedVersion:
	case s.version != plainVersion:
		return s, nil, fmt.Errorf("%w: here it is %d, there %d", errRelease, encryptedVersion, s.version)
	case h.encrypt:
		return s, nil, errPlain
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
