package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTimeout       = time.Second
	clientIdleTimeout = time.Minute
	maxIdlePerMember  = 256
	peerBuffer        = 64 << 10
)

// newPeerTransport makes the HTTP client side of the peer port. net/http sets TCP_NODELAY by itself.
func newPeerTransport(hs handshake) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	var plain http.Protocols
	plain.SetHTTP1(true)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			if err := hs.client(conn); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return &peerConn{TCPConn: conn.(*net.TCPConn)}, nil
		},
		Protocols:             &plain,
		MaxIdleConnsPerHost:   maxIdlePerMember,
		IdleConnTimeout:       clientIdleTimeout,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		ReadBufferSize:        peerBuffer,
		WriteBufferSize:       peerBuffer,
	}
}

// Do sends req, which is Do's from then on, to m and returns its answer, whose body the caller must close. Of req.URL
// only path and query are used. It takes as long as ctx allows, and ends early, the reading of the body too, with
// ErrMemberGone when m is seen dead. A member that said goodbye before is left to finish.
//
// An error that is ErrUnreachable says that m surely did not carry the request out; it can come together with
// ErrMemberGone or ctx's error. After any other error the outcome is unknown; that of a GET, which changes nothing, is
// not looked into. net/http repeats a request by itself, on a new connection, when a kept-alive one turns out dead:
// always if not one byte of the request was written and the body can be had again, and otherwise only GET, HEAD,
// OPTIONS, TRACE, and what carries an Idempotency-Key.
func (c *Cluster) Do(ctx context.Context, m Member, req *http.Request) (*http.Response, error) {
	bind, ok := c.boundTo(m.ID)
	if !ok {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("ask %s: %w: %w", m.Name, ErrUnreachable, ErrMemberGone)
	}
	bound, release := bind(ctx)
	var sent *sentTrace
	traced := bound
	if req.Method != http.MethodGet {
		sent = &sentTrace{}
		traced = sent.watch(bound)
	}
	resp, err := c.transport.RoundTrip(c.addressed(traced, m, req))
	if err != nil {
		err = explain(ctx, bound, sent, err)
		release()
		return nil, fmt.Errorf("ask %s: %w", m.Name, err)
	}
	if resp.StatusCode == http.StatusMisdirectedRequest && resp.Header.Get(headerNode) != "" {
		_ = resp.Body.Close()
		release()
		return nil, fmt.Errorf("ask %s: another process listens at %s: %w", m.Name, m.PeerAddr, ErrUnreachable)
	}
	resp.Body = &boundBody{ReadCloser: resp.Body, bound: bound, release: release}
	return resp, nil
}

// boundTo returns the function that binds a context to the life of a member, if the member is there.
func (c *Cluster) boundTo(id string) (func(context.Context) (context.Context, func()), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok := c.records[id]
	if !ok {
		return nil, false
	}
	return rec.bind, true
}

// addressed makes req out to m.
func (c *Cluster) addressed(ctx context.Context, m Member, req *http.Request) *http.Request {
	req = req.WithContext(ctx)
	req.URL.Scheme, req.URL.Host, req.URL.User = "http", m.PeerAddr, nil
	req.Host = m.PeerAddr
	if req.Header == nil {
		req.Header = make(http.Header, 2)
	}
	names := []string{m.ID, c.self.ID}
	req.Header[headerNode], req.Header[headerFrom] = names[:1:1], names[1:]
	return req
}

// explain makes of a failed round trip what its caller has to know. bound is caller's context bound to the member;
// sent is nil if nobody needs to know.
func explain(caller, bound context.Context, sent *sentTrace, err error) error {
	ended := bound.Err() != nil
	if cause := context.Cause(bound); ended && caller.Err() == nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if sent != nil && !sent.possibly(ended) {
		err = fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// boundBody is the body of an answer, whose reading ends when the member is seen dead.
type boundBody struct {
	io.ReadCloser
	bound   context.Context // the request's: it is asked why it ended, never waited for
	release func()
}

// Read reads the body.
func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(b.bound); errors.Is(cause, ErrMemberGone) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
	}
	return n, err
}

// Close closes the body and gives the connection back.
func (b *boundBody) Close() error {
	err := b.ReadCloser.Close()
	b.release()
	return err
}

// peerConn counts the writes on a connection, each from before it begins; those that wrote nothing are taken back.
type peerConn struct {
	*net.TCPConn
	writes atomic.Int64
}

// Write writes p.
func (c *peerConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	n, err := c.TCPConn.Write(p)
	if n == 0 {
		c.writes.Add(-1)
	}
	return n, err
}

// ReadFrom writes what r yields, from the kernel's hand if it can.
func (c *peerConn) ReadFrom(r io.Reader) (int64, error) {
	c.writes.Add(1)
	n, err := c.TCPConn.ReadFrom(r)
	if n == 0 {
		c.writes.Add(-1)
	}
	return n, err
}

// sentTrace finds out whether anything of a request can have left this node: it notes which connections the request
// was given and how many writes there had been on them.
type sentTrace struct {
	mu    sync.Mutex // guards given
	given []givenConn
}

type givenConn struct {
	conn   *peerConn
	writes int64
}

func (t *sentTrace) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		conn, _ := info.Conn.(*peerConn)
		g := givenConn{conn: conn}
		if conn != nil {
			g.writes = conn.writes.Load()
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		t.given = append(t.given, g)
	}})
}

// possibly reports whether anything may have been sent. When the round trip failed on its connection, the connection
// has been closed: no write can begin any more, and a write counts from before it begins, so the count is final. When
// the request's context ended instead, the write may be about to begin, and having had a connection is enough.
func (t *sentTrace) possibly(ended bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.given {
		if ended || g.conn == nil || g.conn.writes.Load() != g.writes {
			return true
		}
	}
	return false
}
