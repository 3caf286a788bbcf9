package peer

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/rs/zerolog"
)

// Config identifies this end of the connections, and holds what it shares with the
// others.
type Config struct {
	ID    string // of this process; it is never used again
	Label string // nodes with different labels do not talk
	// Keys returns the keys that prove who belongs here, one at least. The
	// first is used to send, and whatever comes under any of them is accepted.
	Keys func() [][]byte
	// Encrypt refuses connections that are not encrypted, and dials none.
	Encrypt bool
	// Dial connects to a member; nil is the real network. A connection that is
	// no socket has to be a Peeker.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Log  zerolog.Logger
}

// Port is this node's end of the connections between nodes. Make one with New.
type Port struct {
	cfg       Config
	handshake handshake
	handlers  map[string]Handler // fixed once Serve has begun
	wakeful   *wakeful
}

// New makes a Port, which answers nothing until Serve.
func New(cfg Config) *Port {
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	return &Port{
		cfg: cfg,
		handshake: handshake{
			dialer: cfg.Dial, keys: cfg.Keys, label: cfg.Label, self: cfg.ID,
			encrypt: cfg.Encrypt, certificate: sync.OnceValues(newCertificate),
		},
		handlers: make(map[string]Handler),
		wakeful:  newWakeful(),
	}
}

// Handle makes h answer the questions on a route. It must be called before Serve.
func (p *Port) Handle(route string, h Handler) { p.handlers[route] = h }

// Pool makes a pool of connections to the process that has this ID and listens
// at addr. Nothing is dialled before something is asked. Connections are encrypted if
// either end wants that: encrypt is what the other wants.
func (p *Port) Pool(id, addr string, encrypt bool) *Pool {
	return newPool(func(ctx context.Context) (*askConn, error) {
		conn, err := p.handshake.dial(ctx, addr, id, encrypt)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
		return newAskConn(conn), nil
	})
}

// Probe reports whether the process that has this ID listens at addr: nil if it
// does. encrypt is as for Pool.
func (p *Port) Probe(ctx context.Context, id, addr string, encrypt bool) error {
	conn, err := p.handshake.dial(ctx, addr, id, encrypt)
	if err != nil {
		return fmt.Errorf("probe %s: %w", addr, err)
	}
	_ = conn.Close()
	return nil
}

// Serve answers the questions that come in by l until ctx ends, and closes it.
// Answers that are being worked out then are waited for.
func (p *Port) Serve(ctx context.Context, l net.Listener) {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &server{handlers: p.handlers, wakeful: p.wakeful, log: p.cfg.Log, conns: map[*answerConn]struct{}{}}
	a := newAcceptor(l, p.handshake, p.cfg.Log)
	a.enter = func(conn net.Conn, from string) { s.serve(base, conn, from) }
	a.wg.Go(a.acceptAll)

	p.wakeful.watch(ctx)
	grace, stop := context.WithTimeout(base, closeGrace)
	defer stop()
	a.close()
	s.shutdown(grace)
	cancel()
	if !ended(&a.wg, answerLimit) {
		p.cfg.Log.Warn().Msg("answers to members were being worked out when this node stopped")
	}
}
