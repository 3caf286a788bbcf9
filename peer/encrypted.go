package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// exporterLabel names what the ends of a TLS connection derive from it for the
// handshake.
const exporterLabel = "EXPORTER-larder-peer-v1"

// encrypted is a connection under TLS. Its end is the end of the one below, without
// TLS's own farewell: lengths say where questions and answers end, and what is still
// to be read would hide the end of a connection that its asker gave up.
type encrypted struct {
	*tls.Conn
	below *batched
}

// Write writes all at once below what TLS makes many records of.
func (c *encrypted) Write(b []byte) (int, error) {
	if len(b) <= smallWrite {
		return c.Conn.Write(b)
	}
	c.below.hold()
	n, err := c.Conn.Write(b)
	if flushed := c.below.flush(); err == nil {
		err = flushed
	}
	return n, err
}

// Close closes the connection at once.
func (c *encrypted) Close() error { return c.below.Close() }

// Peek looks at what has arrived. Nothing that matters is held above: one question or
// answer is under way at a time.
func (c *encrypted) Peek() (n int, err error) { return peek(c.below.Conn) }

// clientEncrypted begins TLS after a hello, and proves and is proven the secret for
// this very TLS connection.
func (h handshake) clientEncrypted(conn net.Conn, key []byte, s shake) (net.Conn, error) {
	below := &batched{Conn: conn}
	c := &encrypted{below: below, Conn: tls.Client(below, &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		InsecureSkipVerify:          true, // the certificate proves nothing, the secret does
		DynamicRecordSizingDisabled: true,
	})}
	var err error
	if s.server, err = c.binding(); err != nil {
		return nil, refused(err)
	}
	if _, err := c.Write(h.mac(key, "client", s)); err != nil {
		return nil, err
	}
	proof := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c, proof); err != nil {
		return nil, refused(err)
	}
	if !hmac.Equal(proof, h.mac(key, "server", s)) {
		return nil, errHandshake
	}
	return c, nil
}

// serverEncrypted is the other end of that.
func (h handshake) serverEncrypted(conn net.Conn, key []byte, s shake) (net.Conn, error) {
	certificate, err := h.certificate()
	if err != nil {
		return nil, err
	}
	below := &batched{Conn: conn}
	c := &encrypted{below: below, Conn: tls.Server(below, &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Certificates:                []tls.Certificate{certificate},
		SessionTicketsDisabled:      true, // a ticket would look like the connection's end
		DynamicRecordSizingDisabled: true,
	})}
	if s.server, err = c.binding(); err != nil {
		return nil, err
	}
	proof := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c, proof); err != nil {
		return nil, err
	}
	if !hmac.Equal(proof, h.mac(key, "client", s)) {
		return nil, errHandshake
	}
	_, err = c.Write(h.mac(key, "server", s))
	return c, err
}

// binding completes TLS and returns what only the two ends of this connection know.
func (c *encrypted) binding() ([]byte, error) {
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	state := c.ConnectionState()
	return state.ExportKeyingMaterial(exporterLabel, nil, nonceSize)
}

// newCertificate makes a certificate of nobody, with a key that this process alone has.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key for the peer port: %w", err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate for the peer port: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
