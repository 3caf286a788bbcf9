package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Attach makes s answer with this API, and returns the listener that s must serve
// in place of l. With it, what net/http refuses by itself (a header that is too
// large, or no HTTP) is answered and counted as every other refusal.
func (a *API) Attach(s *http.Server, l net.Listener) net.Listener {
	s.Handler = a
	s.DisableGeneralOptionsHandler = true // OPTIONS * as well is answered here
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*conn); ok && state == http.StateIdle {
			c.awaitRequest()
		}
	}
	return &listener{Listener: l, api: a, front: a.newFront(s)}
}

type listener struct {
	net.Listener
	api   *API
	front *front // nil if there is none
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.api.cfg.TLS == nil {
		return &conn{Conn: c, api: l.api, visit: l.front.visitOf(c)}, nil
	}
	secured := tls.Server(c, l.api.cfg.TLS)
	return &conn{Conn: secured, secured: secured, api: l.api}, nil
}

type connKey struct{}

// conn is a caller's connection. net/http reads from it and writes to it.
type conn struct {
	net.Conn
	secured *tls.Conn // the same, if it speaks TLS; nil if it does not
	api     *API
	// handled is set while the API answers a request: what is written when it is
	// not comes from net/http, which then closes the connection.
	handled atomic.Bool
	lengths lengths // of the request's header
	// ahead is set if the request's header may have come with the request before,
	// at least in part, so that lengths has not seen all of it.
	ahead     bool
	deadlines atomic.Int32 // that were set for reading since the last answer
	visit     visit
}

// connOf is the connection that a request came by; nil if it came by another way.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// handle tells the connection that from here on the API answers the request, and
// reports whether that came with both Transfer-Encoding and Content-Length, of
// which net/http removes the latter. Its connection must be closed (RFC 9112,
// section 6.1). A body that begins within the first bytes and holds such a line
// may look the same, and so may a chunked request that was sent before the answer
// to the one before; that costs one connection.
func (c *conn) handle(r *http.Request) (framedTwice bool) {
	c.handled.Store(true)
	return len(r.TransferEncoding) > 0 && (c.lengths.found || c.ahead)
}

// awaitRequest is called between an answer and the next request.
func (c *conn) awaitRequest() {
	c.lengths, c.ahead = lengths{}, true
	c.deadlines.Store(0)
	c.handled.Store(false)
	c.visit.between = true
}

// SetReadDeadline also counts: net/http sets one deadline before it waits for the
// first bytes of a request, and others before it reads the rest.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.handled.Load() {
		c.deadlines.Add(1)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) Read(b []byte) (int, error) {
	if err := c.shakeHands(); err != nil {
		return 0, err
	}
	read := c.Conn.Read
	if c.isFronts(b) {
		read = c.readPast
	}
	c.visit.between = false
	n, err := read(b)
	if !c.handled.Load() {
		if c.deadlines.Load() <= 1 { // net/http had nothing of the request
			c.ahead = false
		}
		c.lengths.scan(b[:n])
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	status, ok := refusedWith(b)
	if !ok || c.handled.Load() {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(c.api.refuse(c, status, b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close closes the connection. In a planned stop net/http closes those that it takes for
// idle: one on which the front is answering ends with that answer.
func (c *conn) Close() error {
	if c.api.draining.Load() && c.visit.state.CompareAndSwap(answering, leaving) {
		return nil
	}
	return c.Conn.Close()
}

// CloseWrite lets net/http end its side first, so that a caller who is still
// sending reads the answer.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// refusedWith is the status of an answer, if it refuses.
func refusedWith(b []byte) (status int, ok bool) {
	if len(b) < len("HTTP/1.1 400") || !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		return 0, false
	}
	status, err := strconv.Atoi(string(b[9:12]))
	return status, err == nil && status >= http.StatusBadRequest
}

// refuse is what to send in place of net/http's own refusal.
func (a *API) refuse(c net.Conn, status int, own []byte) []byte {
	title := http.StatusText(status)
	_, detail, _ := bytes.Cut(own, []byte("\r\n\r\n"))
	if len(detail) == 0 {
		detail = []byte(title)
	}
	name := strings.ToLower(strings.ReplaceAll(title, " ", "-"))
	return a.answer(c, problem{Type: problemType + name, Title: title, Status: status, Detail: string(detail)}, "")
}

// busy is what to send to a connection that there is no room for.
func (a *API) busy(c net.Conn) []byte {
	return a.answer(c, problem{
		Type: problemType + "busy", Title: "Too much at once", Status: http.StatusServiceUnavailable,
		Detail: "this node has as many connections as it may, in all or from this address; try again, or another node",
	}, "Retry-After: "+retry(http.StatusServiceUnavailable, nil)+"\r\n")
}

// answer is a whole answer with a problem, to a request that no handler sees, and
// is counted and logged as that.
func (a *API) answer(c net.Conn, p problem, fields string) []byte {
	p.Request = rand.Text()
	body := p.json()
	a.cfg.Observe(Served{Op: otherOp, Status: p.Status, Sent: int64(len(body))})
	a.access.Debug().Str("request", p.Request).Str("from", c.RemoteAddr().String()).Str("op", otherOp).Int("status", p.Status).
		Str("problem", strings.TrimPrefix(p.Type, problemType)).Msg("request")
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n%s: %s\r\n%sConnection: close\r\n\r\n%s",
		p.Status, http.StatusText(p.Status), len(body), requestHeader, p.Request, fields, body)
}

// lengths looks for Content-Length in the bytes of a request's header.
type lengths struct {
	found bool
	at    int // how much of the name the line begins with; -1 if it is another's
}

func (l *lengths) scan(b []byte) {
	const name = "content-length:"
	for len(b) > 0 && !l.found {
		switch {
		case l.at < 0:
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				return
			}
			b, l.at = b[end+1:], 0
		case b[0]|0x20 == name[l.at]: // in any case of letters
			b, l.at = b[1:], l.at+1
			l.found = l.at == len(name)
		default:
			l.at = -1
		}
	}
}
