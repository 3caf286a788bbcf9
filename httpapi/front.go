package httpapi

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/rs/zerolog"

	"larder/httpapi/auth"
	"larder/keys"
)

// front answers plain GETs on a connection, before net/http sees them. It has its
// turn whenever net/http waits for a request and has nothing of one. It answers what
// it can answer at once and whole. All else, with all that follows in the same bytes,
// is net/http's, which never learns of what was answered before. So a front refuses
// nothing, and what it does not know goes past it.
//
// An answer is begun when nothing of it can fail any more but the connection.
type front struct {
	api *API
	// idle is how long a caller may say nothing, header how long he may take for a
	// request's header; 0 is for ever. They are net/http's.
	idle, header time.Duration
	answers      sync.Pool // of *answer
	date         atomic.Pointer[date]
}

// date is a second as the field Date has it.
type date struct {
	unix int64
	text []byte
}

const (
	// armEvery is how often a deadline of the front is set anew, at most. That of an
	// idle connection may come so much early, that of a write late.
	armEvery = time.Second
	// begun is how many bytes net/http waits for, after an answer, until it takes them for
	// a request. If fewer come, it ends the connection without a word.
	begun = 4
	// copied is the length up to which bytes are copied behind a header: that costs less
	// than to hand two pieces to the kernel.
	copied = 4 << 10
)

// The states of a connection. A planned stop closes one that is silent; one that is
// answering becomes leaving.
const (
	silent    = iota // the front has no request of it
	answering        // the front has a request: it looks for the object, maybe at another node, or sends it
	leaving          // the same, and the connection is closed after that answer
)

// newFront makes the front of a server, nil if it has none. A line of the log for every
// request is net/http's handler's to write.
func (a *API) newFront(s *http.Server) *front {
	if !a.cfg.Front || a.cfg.TLS != nil || a.access.GetLevel() <= zerolog.DebugLevel {
		return nil
	}
	f := &front{api: a, idle: s.IdleTimeout, header: s.ReadHeaderTimeout}
	f.answers.New = func() any { return new(answer) }
	f.date.Store(&date{})
	return f
}

// visit is what the front knows of a connection. Only the goroutine that reads from
// it for net/http uses it, but for state.
type visit struct {
	*front
	below net.Conn // the network's own, which takes several pieces with one call
	// buffer is the length of net/http's buffer: what it offers to read into when that is
	// empty. It is 0 before the first time.
	buffer int
	// between is set between an answer of net/http and the next bytes that it gets.
	between bool
	armed   time.Time // when the deadline for reading was set by the front; zero if not
	until   time.Time // the deadline for writing, if the front has set one
	host    string    // that was found good last
	pieces  [2][]byte
	out     net.Buffers
	state   atomic.Int32
}

// visitOf is the front's on a new connection.
func (f *front) visitOf(c net.Conn) visit {
	for {
		wraps, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return visit{front: f, below: c}
		}
		c = wraps.NetConn()
	}
}

// isFronts reports whether what is read into b now begins a request, of which net/http
// has nothing: it reads for the first time; or it has answered, waits for more, since it
// has set one deadline and not the next, and offers all of its buffer. If it did any of
// that otherwise, connections would stay with it.
func (c *conn) isFronts(b []byte) bool {
	v := &c.visit
	if v.front == nil || c.handled.Load() {
		return false
	}
	if v.buffer == 0 {
		v.buffer = len(b)
		return true
	}
	return v.between && c.deadlines.Load() == 1 && len(b) == v.buffer
}

// readPast answers plain requests, and returns what is net/http's.
func (c *conn) readPast(b []byte) (int, error) {
	kept, answered := 0, false
	for {
		n, err := c.Conn.Read(b[kept:])
		if err != nil {
			return 0, err // what was kept is no request
		}
		rest := b[:kept+n]
		for len(rest) > 0 {
			used, err := c.answerPlain(rest)
			if err != nil {
				return 0, io.EOF // net/http says nothing then
			}
			if used == 0 {
				break
			}
			rest, answered = rest[used:], true
		}
		kept = copy(b, rest)
		if kept >= begun || kept > 0 && !answered {
			c.leaveTo()
			return kept, nil
		}
		c.await()
	}
}

// await gives the caller his time for the next request.
func (c *conn) await() {
	now := time.Now()
	if now.Sub(c.visit.armed) < armEvery {
		return
	}
	c.visit.armed = now
	var until time.Time
	if c.visit.idle > 0 {
		until = now.Add(c.visit.idle)
	}
	_ = c.Conn.SetReadDeadline(until) // a connection that broke shows with the next Read
}

// leaveTo leaves the connection to net/http as it would have been without the front.
func (c *conn) leaveTo() {
	v := &c.visit
	if !v.until.IsZero() {
		v.until = time.Time{}
		_ = c.SetWriteDeadline(time.Time{}) // as in await
	}
	if !v.armed.IsZero() {
		v.armed = time.Time{}
		var until time.Time
		if v.header > 0 {
			until = time.Now().Add(v.header)
		}
		_ = c.Conn.SetReadDeadline(until)
	}
}

// answerPlain answers the request that b begins with, and returns its length; 0 if it is
// net/http's. An error is the connection's end.
func (c *conn) answerPlain(b []byte) (used int, err error) {
	f := c.visit.front
	if f.api.draining.Load() {
		return 0, nil
	}
	p, ok := parsePlain(b)
	if !ok {
		return 0, nil
	}
	began := time.Now()
	a, _ := f.answers.Get().(*answer)
	defer f.answers.Put(a)
	a.reset()
	k, who, ok := c.admit(&p, a)
	if !ok {
		return 0, nil
	}
	c.visit.state.Store(answering)
	defer c.answered()
	r, ok := f.api.read.Ready(k, who.User)
	if !ok {
		return 0, nil
	}
	defer r.Close()
	now := time.Now()
	if !a.describe(r, now, f.dateAt(now)) {
		return 0, nil
	}
	sent, err := c.sendPlain(a, r.View, now)
	f.api.cfg.Observe(Served{Op: getOp, Status: http.StatusOK, Broken: err != nil, Source: r.Source, Sent: sent, Took: time.Since(began)})
	if err == nil {
		f.api.cfg.Usage.Hit(who.User, k, r.Head)
	}
	return p.length, err
}

// admit finds out who asks for what, and whether he may as far as the front knows. The
// key's name is a view of the request's bytes, or of the answer's.
func (c *conn) admit(p *plain, a *answer) (k keys.Key, who auth.Principal, ok bool) {
	api := c.visit.api
	if api.cfg.OwnMachine && string(p.host) != c.visit.host {
		if !IsOwnMachine(string(p.host)) {
			return k, who, false
		}
		c.visit.host = string(p.host)
	}
	if a.name, ok = unescape(a.name, p.name); !ok {
		return k, who, false
	}
	who, ok = api.auth.Known(view(p.authorization))
	if !ok || api.cfg.Usage.IsRated(who.Org) {
		return k, who, false
	}
	// A name that is none of a key is not looked for as one: no head has it.
	k = keys.Key{Org: who.Org, Service: p.service, Name: view(a.name)}
	return k, who, who.May(auth.Read, k.Service, k.Name) == nil
}

// view is a text that changes when the bytes do.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// answered ends the state answering, and closes a connection that is leaving.
func (c *conn) answered() {
	if !c.visit.state.CompareAndSwap(answering, silent) {
		_ = c.Conn.Close()
	}
}

// sendPlain sends an answer, with the time that recorder.Write would give it, and returns
// how much of the body was sent.
func (c *conn) sendPlain(a *answer, body []byte, now time.Time) (sent int64, err error) {
	v := &c.visit
	if least := now.Add(stallOf(len(body), v.api.cfg.ChunkSize)); v.until.Before(least) {
		v.until = least.Add(armEvery)
		_ = c.SetWriteDeadline(v.until) // a connection that broke shows with the write
	}
	header := int64(len(a.head))
	if len(body) <= copied {
		a.head = append(a.head, body...)
		var n int
		n, err = v.below.Write(a.head)
		sent = int64(n)
	} else {
		v.pieces = [2][]byte{a.head, body}
		v.out = v.pieces[:]
		sent, err = v.out.WriteTo(v.below)
		v.pieces = [2][]byte{}
	}
	return max(sent-header, 0), err
}

// dateAt is a moment as the field Date has it.
func (f *front) dateAt(now time.Time) []byte {
	d := f.date.Load()
	if d.unix != now.Unix() {
		d = &date{unix: now.Unix(), text: now.UTC().AppendFormat(nil, http.TimeFormat)}
		f.date.Store(d)
	}
	return d.text
}
