package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/fill"
	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/httpapi/overview"
	"larder/keys"
	"larder/store"
	"larder/usage"
	"larder/writepath"
)

// Reader is the read path.
type Reader interface {
	Open(ctx context.Context, k keys.Key, o fill.Options) (*fill.Object, error)
	Stat(ctx context.Context, k keys.Key, o fill.Options) (store.Head, chunks.Source, error)
	// Gather prepares reads of many keys, each of which is then told what was found.
	Gather(ctx context.Context, ks []keys.Key) []fill.Found
	// Ready is Open for what can be sent without a wait for the store or for memory, and
	// keeps nothing of the key.
	Ready(k keys.Key, user string) (fill.Ready, bool)
}

// Writer is the write path.
type Writer interface {
	Put(ctx context.Context, k keys.Key, h store.Head, body []byte, c writepath.Conditions) (writepath.Result, error)
	PutLarge(ctx context.Context, k keys.Key, u writepath.Upload) (writepath.Result, error)
	Delete(ctx context.Context, k keys.Key, user string, ifMatch []string) error
	Drop(ctx context.Context, d writepath.Drop, ks []keys.Key) []writepath.Dropped
}

// Lister lists the store.
type Lister interface {
	List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error)
}

// Authenticator finds out who sends a request.
type Authenticator interface {
	Authenticate(ctx context.Context, c auth.Credential) (auth.Principal, error)
	// Known is Authenticate for whom nothing has to be asked, and keeps nothing of the
	// header.
	Known(authorization string) (auth.Principal, bool)
}

// Page serves what a browser shows at /ui/ (package page). Serve reports whether there
// is a file of the request's path; if not, it has answered nothing.
type Page interface {
	Serve(w http.ResponseWriter, r *http.Request) bool
}

// Config of an API.
type Config struct {
	// MaxObject is the largest object that is taken, in bytes.
	MaxObject int64
	// ChunkSize is in bytes; larger objects are not held whole.
	ChunkSize int64
	// BodyMemory is how many bytes of bodies are held at once, beside one that
	// grows on when others hold all. Writes beyond it wait, and then get 503.
	BodyMemory int64
	// OwnMachine refuses requests for a host of the internet's names: without
	// credentials, a web page whose name is made to resolve to 127.0.0.1 (DNS
	// rebinding) could have its reader's browser read and write here.
	OwnMachine bool
	// Joined reports whether this node has joined its cluster: before, it answers for no key.
	// Without it, the node answers from the start.
	Joined func() bool
	// Page is served at /ui/; without it there is none.
	Page Page
	// Overview says how the cluster is; without it nothing does.
	Overview *overview.Overview
	// Usage limits what orgs may do, and counts it; nil does neither.
	Usage *usage.Usage
	// TLS, unless it is nil, is spoken on the connections of Attach.
	TLS *tls.Config
	// Heads tells what is known of the keys of a listing, nil of what is not; without it
	// nothing is.
	Heads func(ctx context.Context, ks []keys.Key) []*store.Head
	// Where tells which nodes have an object; without it nothing does.
	Where func(ctx context.Context, k keys.Key, h store.Head) (Cached, error)
	// Front answers plain GETs before net/http sees them.
	Front bool
	// Builds keeps the claims; without it there are none.
	Builds Builder
	// Expiry is how long the objects of an org live; nil is for ever, unless a writer
	// says otherwise.
	Expiry func(org string) Expiry
	// Observe hears of every request once it has been answered. It may be nil.
	Observe func(Served)
	Log     zerolog.Logger
}

// API answers HTTP requests. Make one with New.
type API struct {
	cfg  Config
	read Reader
	wrt  Writer
	list Lister
	auth Authenticator
	// bodies bounds the bytes of bodies that are held at once.
	bodies *budget.Pool
	routes []route
	kinds  []kind
	// foreign refuses what the pages of other sites make a browser send.
	foreign *http.CrossOriginProtection
	// draining makes each answer the last of its connection.
	draining atomic.Bool
	log      zerolog.Logger
	// access hears of every request, audit of those that auditors ask for.
	access, audit zerolog.Logger
	// refused and failed bound how much is logged of callers that are refused
	// and of requests that fail.
	refused, failed *sampler
}

// New makes an API.
func New(cfg Config, r Reader, w Writer, l Lister, a Authenticator) *API {
	if cfg.Observe == nil {
		cfg.Observe = func(Served) {}
	}
	return &API{
		cfg: cfg, read: r, wrt: w, list: l, auth: a,
		bodies:  budget.NewPool("bodies of writes", cfg.bodyMemory(cfg.BodyMemory), cfg.ChunkSize+1),
		routes:  routes(),
		kinds:   newKinds(),
		foreign: http.NewCrossOriginProtection(),
		refused: newSampler(),
		failed:  newSampler(),
		log:     cfg.Log.With().Str("component", "httpapi").Logger(),
		access:  cfg.Log.With().Str("component", "access").Logger(),
		audit:   cfg.Log.With().Str("component", "audit").Logger(),
	}
}

// bodyMemory is how many bytes of bodies are held at once where the plan has so many
// for them: at least one body.
func (c Config) bodyMemory(planned int64) int64 { return max(planned, c.ChunkSize+1) }

// Resize sets how many bytes of bodies are held at once.
func (a *API) Resize(bodyMemory int64) { a.bodies.Resize(a.cfg.bodyMemory(bodyMemory)) }

// Drain makes each answer from now on the last of its connection, so that
// callers move to other nodes before connections are closed under them
// (RFC 9112, section 9.6). Everything is still answered.
func (a *API) Drain() { a.draining.Store(true) }

// call is one request on its way through the API.
type call struct {
	*http.Request
	w      *recorder
	id     string // names the request, in the answer and in the logs
	who    auth.Principal
	op     string // of its route; "other" until that is known
	source chunks.Source

	// What the path and the query name.
	service string
	key     keys.Key // zero if the request names none
	query   url.Values

	// What metrics and logs say besides.
	digest   string // SHA-256 of what was written, hex, if it is known
	received int64  // bytes of the body
	problem  string // the name of the kind of error; empty if there was none
	broken   bool   // the connection was broken off

	isPart bool       // of a batch
	again  bool       // it was admitted and charged before
	found  fill.Found // what was found out about its key
}

// requestHeader bears the request's ID in every answer. One that a caller sends
// means nothing.
const requestHeader = "Larder-Request"

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &call{Request: r, w: &recorder{ResponseWriter: w, least: a.cfg.ChunkSize, last: &a.draining}, id: rand.Text(), op: otherOp}
	w.Header()[requestHeader] = []string{c.id}
	defer func() { a.served(c, time.Since(began)) }()
	defer func() {
		if p := recover(); p != nil {
			a.recovered(c, p)
		}
	}()
	if conn := connOf(r); conn != nil && conn.handle(r) {
		w.Header().Set("Connection", "close")
	}
	if err := a.serve(c); err != nil {
		a.fail(c, err)
	}
}

func (a *API) serve(c *call) (err error) {
	if a.cfg.OwnMachine && !IsOwnMachine(c.Host) {
		return fmt.Errorf("%w; the request is for %q", errHost, c.Host)
	}
	if a.servePage(c) {
		return nil
	}
	if err := a.foreign.Check(c.Request); err != nil {
		return fmt.Errorf("%w (%w)", errOrigin, err)
	}
	if c.who, err = a.authenticate(c); err != nil {
		return err
	}
	if c.query, err = url.ParseQuery(c.URL.RawQuery); err != nil {
		return fmt.Errorf("%w: %w; a %% is written %%25 and a ; %%3B", errQuery, err)
	}
	do, err := a.find(c)
	if err != nil {
		return err
	}
	if c.service != "" && a.cfg.Joined != nil && !a.cfg.Joined() {
		return errApart
	}
	if c.isMetered() {
		if err := a.cfg.Usage.Admit(c.Context(), c.who.Org, c.who.User); err != nil {
			return err
		}
	}
	return do(a, c)
}

// servePage answers a request for a file of the page, which anybody may have, or of a browser
// for the root, and reports whether it was one.
func (a *API) servePage(c *call) bool {
	isStart := c.URL.Path == "/" && wantsPage(c.Header)
	if a.cfg.Page == nil || !c.reads() || !isStart && !strings.HasPrefix(c.URL.Path+"/", pagePath) {
		return false
	}
	c.op = pageOp
	if a.cfg.Page.Serve(c.w, c.Request) {
		return true
	}
	c.op = otherOp
	return false
}

// isPage reports whether the page sent a request. It says so itself.
func (c *call) isPage() bool { return c.Header.Get("X-Requested-With") != "" }

// authenticate finds out who sends the request. Of two Authorization headers a
// proxy may have checked the one that does not count here, so there is only one.
func (a *API) authenticate(c *call) (auth.Principal, error) {
	credentials := c.Header.Values("Authorization")
	if len(credentials) > 1 {
		return auth.Principal{}, fmt.Errorf("%w: Authorization is there %d times; send it once", errHeader, len(credentials))
	}
	credential := auth.Credential{Authorization: c.Header.Get("Authorization")}
	if credential.Authorization == "" {
		credential.Chain = connOf(c.Request).certificates()
	}
	return a.auth.Authenticate(c.Context(), credential)
}

// IsOwnMachine reports whether the host of a request can only be this machine: an
// address, or a name that nobody else can make resolve to one.
func IsOwnMachine(host string) bool {
	u := url.URL{Host: host}
	name := strings.TrimSuffix(u.Hostname(), ".")
	if !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

func (a *API) logPanic(c *call, p any) {
	a.log.Error().Str("request", c.id).Interface("panic", p).Str("path", shownPath(c)).Bytes("stack", debug.Stack()).Msg("panic in a request")
}

// recovered answers a request whose handler panicked, if nothing was sent yet,
// and otherwise breaks the connection off.
func (a *API) recovered(c *call, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // the value that net/http itself compares by identity
		panic(p)
	}
	a.logPanic(c, p)
	if c.w.status != 0 {
		c.broken = true
		panic(http.ErrAbortHandler)
	}
	a.fail(c, chunks.ErrPanic)
}
