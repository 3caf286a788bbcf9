package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// plainLimit bounds the time for a request that came without TLS.
const plainLimit = 500 * time.Millisecond

// shakeHands begins TLS on a connection that speaks it, unless that was done. A
// caller that fails sees the alert of TLS, and net/http the connection's end: it has
// nothing to say on a connection that was never one of HTTP.
func (c *conn) shakeHands() error {
	if c.secured == nil {
		return nil
	}
	err := c.secured.Handshake() // the deadline for a request's header bounds it
	if err == nil {
		return nil
	}
	plain, ok := errors.AsType[tls.RecordHeaderError](err)
	if ok && plain.Conn != nil && isHTTP(plain.RecordHeader) {
		c.refusePlain(plain.Conn)
	}
	c.api.log.Debug().Err(err).Str("from", c.RemoteAddr().String()).Msg("tls handshake")
	return io.EOF
}

// refusePlain answers a request that came without TLS, and reads on for a moment: a
// connection that is closed with something unread takes the answer with it.
func (c *conn) refusePlain(plain net.Conn) {
	_ = plain.SetDeadline(time.Now().Add(plainLimit)) // a connection that broke needs no answer, as below
	_, _ = plain.Write(c.api.answer(c, problem{
		Type: problemType + "tls-required", Title: "TLS required", Status: http.StatusBadRequest,
		Detail: "this port speaks TLS alone: use https:// in place of http://",
	}, ""))
	_ = closeWrite(plain)
	_, _ = io.CopyN(io.Discard, plain, strangersBody)
}

// isHTTP reports whether what came in place of a TLS record begins a request.
func isHTTP(header [5]byte) bool {
	switch method, _, _ := strings.Cut(string(header[:]), " "); method {
	case "GET", "HEAD", "PUT", "POST", "PATCH", "DELET", "OPTIO", "TRACE", "CONNE":
		return true
	}
	return false
}

// certificates are what the caller gave on its TLS connection and proved to hold. They
// are not verified.
func (c *conn) certificates() []*x509.Certificate {
	if c == nil || c.secured == nil {
		return nil
	}
	return c.secured.ConnectionState().PeerCertificates
}
