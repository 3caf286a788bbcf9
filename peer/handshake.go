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
	"net"
	"time"
)

const (
	handshakeMagic   = "larder\x00\x02" // the last byte counts the ways to talk after it
	handshakeOK      = 1
	handshakeTimeout = 2 * time.Second
	dialTimeout      = time.Second
	nonceSize        = 32
	helloSize        = len(handshakeMagic) + nonceSize + sha256.Size
)

var errHandshake = errors.New("the other side has another cluster secret or label, or is of another release, or no node of this program")

// handshake proves to both ends of a new connection that the other holds a
// cluster secret and the label:
//
//	client → server  magic, client's nonce, MAC("hello", client's nonce)
//	server → client  server's nonce, MAC("server", both nonces)
//	client → server  MAC("client", both nonces)
//	server → client  1
//
// Whoever does not hold the secret gets not one byte, since the server checks
// the hello before it speaks. Hello and client proof of an earlier connection,
// sent again, get an answer to the hello and no further: the server's nonce is
// new. Each MAC names its sender, so that none serves as another. The
// connection carries plain bytes afterwards: this keeps strangers out, and does
// not protect from someone who can change packets on their way.
//
// The client takes its first secret. The server takes the one of its secrets
// that made the hello, so that nodes whose secret is being replaced understand
// each other.
type handshake struct {
	keys  func() [][]byte // those that are accepted now; the first is used to send
	label string
}

func (h handshake) mac(key []byte, role string, nonces ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, part := range append([][]byte{[]byte(role), []byte(h.label)}, nonces...) {
		_ = binary.Write(m, binary.BigEndian, uint32(len(part)))
		m.Write(part)
	}
	return m.Sum(nil)
}

// hello is what a client says first.
func (h handshake) hello(key, nonce []byte) []byte {
	return append(append([]byte(handshakeMagic), nonce...), h.mac(key, "hello", nonce)...)
}

// keyOf returns the key under which a client has said hello, without the magic;
// nil if it is none of ours.
func (h handshake) keyOf(hello []byte) []byte {
	for _, key := range h.keys() {
		if hmac.Equal(hello[nonceSize:], h.mac(key, "hello", hello[:nonceSize])) {
			return key
		}
	}
	return nil
}

// dial connects to a peer port.
func (h handshake) dial(ctx context.Context, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := h.client(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// client authenticates a connection that this node has dialled.
func (h handshake) client(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	key, nonce := h.keys()[0], newNonce()
	if _, err := conn.Write(h.hello(key, nonce)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	answer := make([]byte, nonceSize+sha256.Size)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return refused(err)
	}
	theirs, proof := answer[:nonceSize], answer[nonceSize:]
	if !hmac.Equal(proof, h.mac(key, "server", nonce, theirs)) {
		return fmt.Errorf("handshake: %w", errHandshake)
	}
	if _, err := conn.Write(h.mac(key, "client", nonce, theirs)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	var ok [1]byte
	if _, err := io.ReadFull(conn, ok[:]); err != nil {
		return refused(err)
	}
	if ok[0] != handshakeOK {
		return fmt.Errorf("handshake: %w", errHandshake)
	}
	return conn.SetDeadline(time.Time{})
}

// refused tells a connection that the other side closed from one that broke or
// stayed silent.
func refused(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("handshake: %w", errHandshake)
	}
	return fmt.Errorf("handshake: %w", err)
}

// server authenticates a connection that this node has accepted. On an error
// nothing may be written to it.
func (h handshake) server(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	hello := make([]byte, helloSize)
	magic, rest := hello[:len(handshakeMagic)], hello[len(handshakeMagic):]
	if _, err := io.ReadFull(conn, magic); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if string(magic) != handshakeMagic {
		return fmt.Errorf("handshake: %w", errHandshake)
	}
	if _, err := io.ReadFull(conn, rest); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	theirs, key := rest[:nonceSize], h.keyOf(rest)
	if key == nil {
		return fmt.Errorf("handshake: %w", errHandshake)
	}
	nonce := newNonce()
	if _, err := conn.Write(append(nonce[:nonceSize:nonceSize], h.mac(key, "server", theirs, nonce)...)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	proof := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, proof); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if !hmac.Equal(proof, h.mac(key, "client", theirs, nonce)) {
		return fmt.Errorf("handshake: %w", errHandshake)
	}
	if _, err := conn.Write([]byte{handshakeOK}); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return conn.SetDeadline(time.Time{})
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails: the program ends before it would
	return nonce
}
