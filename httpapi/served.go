package httpapi

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"larder/fill/chunks"
)

// Served is what there is to say of a request that was answered.
type Served struct {
	Op     string // get, head, put, delete, list, whoami, or other: refused before that was known
	Status int
	// Broken says that the answer was broken off after its header: the caller
	// left, or the rest of the bytes was not to be had.
	Broken bool
	// Source is where the first bytes came from; empty if none were read.
	Source         chunks.Source
	Received, Sent int64 // bytes of bodies
	Took           time.Duration
}

// served tells metrics and logs of a request. Where the level of the logs leaves
// a line out, the line costs nothing.
func (a *API) served(c *call, took time.Duration) {
	s := Served{
		Op: c.op, Status: c.w.status, Broken: c.broken, Source: c.source,
		Received: c.received, Sent: c.w.bytes, Took: took,
	}
	if c.op == batchOp && c.problem == "" { // its objects have counted theirs
		s.Received, s.Sent = 0, 0
	}
	a.cfg.Observe(s)
	a.noteDenial(c)
	if e := a.access.Debug(); e != nil {
		describe(e, c).Str("source", string(c.source)).Str("problem", c.problem).
			Bool("broken", c.broken).Dur("dur", took).Msg("request")
	}
	if !c.isAudited() {
		return
	}
	if e := a.audit.Info(); e != nil && a.toBeAudited(c) {
		describe(e, c).Str("digest", c.digest).Str("verdict", c.verdict()).Dur("dur", took).Msg("audit")
	}
}

// toBeAudited bounds what a caller without a credential makes a node log. For each
// address and verdict the first refusals of a while are logged, and how many more
// there were.
func (a *API) toBeAudited(c *call) bool {
	if c.who.Org != "" {
		return true
	}
	from, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		from = c.RemoteAddr
	}
	verdict := c.verdict()
	return a.refused.pass(from+" "+verdict, func(n int) {
		a.audit.Info().Str("from", from).Str("verdict", verdict).Int("more", n).Msg("audit")
	})
}

// pathShown bounds what is logged of a path that is no key.
const pathShown = 256

// describe adds who asked for what, and how many bytes of a body were sent, or
// received by what is no read. The name of a credential is logged, never
// the credential; a query is not logged.
func describe(e *zerolog.Event, c *call) *zerolog.Event {
	e.Str("request", c.id).Str("org", c.who.Org).Str("user", c.who.User).Str("credential", c.who.TokenID).
		Str("from", c.RemoteAddr).Str("method", c.Method).Str("op", c.op).Int("status", c.w.status)
	if c.reads() {
		e.Int64("bytes", c.w.bytes)
	} else {
		e.Int64("bytes", c.received)
	}
	if c.key.Name != "" {
		return e.Str("service", c.key.Service).Str("key", c.key.Name)
	}
	if c.op == dropOp {
		return e.Str("service", c.service).Str("prefix", c.query.Get("prefix"))
	}
	return e.Str("path", shownPath(c))
}

func shownPath(c *call) string { return c.URL.Path[:min(len(c.URL.Path), pathShown)] }

// isAudited reports whether a request wrote, or tried to, or came from someone
// who may not ask. What a batch writes is audited object by object.
func (c *call) isAudited() bool {
	return !c.reads() && c.op != batchOp && !c.isBuild() || c.w.status == http.StatusUnauthorized || c.w.status == http.StatusForbidden
}

// isBuild reports whether a request is about a build: its owner tells auditors of it.
func (c *call) isBuild() bool { return strings.HasPrefix(c.URL.Path, buildsPath) }

func (c *call) reads() bool { return c.Method == http.MethodGet || c.Method == http.MethodHead }

// verdict is what came of a request that is audited: the name of its problem,
// or what it did.
func (c *call) verdict() string {
	switch {
	case c.problem != "":
		return c.problem
	case c.op == "delete":
		return "deleted"
	case c.op == dropOp && c.query.Get("dry_run") == "true":
		return "counted"
	case c.op == dropOp:
		return "dropped"
	case c.w.status == http.StatusCreated:
		return "created"
	}
	return "replaced"
}
