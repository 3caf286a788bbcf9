package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"larder/auth"
	"larder/fill"
	"larder/keys"
	"larder/store"
	"larder/writepath"
)

// Reader is the read path.
type Reader interface {
	Open(ctx context.Context, k keys.Key, o fill.Options) (*fill.Object, error)
	Stat(ctx context.Context, k keys.Key, o fill.Options) (store.Head, fill.Source, error)
}

// Writer is the write path.
type Writer interface {
	Put(ctx context.Context, k keys.Key, h store.Head, body []byte, c writepath.Conditions) (writepath.Result, error)
	PutLarge(ctx context.Context, k keys.Key, h store.Head, body io.Reader, verify func() error, c writepath.Conditions) (writepath.Result, error)
	Delete(ctx context.Context, k keys.Key, ifMatch []string) error
}

// Lister lists the store.
type Lister interface {
	List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error)
}

// Authenticator finds out who sends an Authorization header of this value.
type Authenticator interface {
	Authenticate(authorization string) (auth.Principal, error)
}

// Config of an API.
type Config struct {
	// MaxObject is the largest object that is taken, in bytes.
	MaxObject int64
	// ChunkSize is in bytes; larger objects are not held whole.
	ChunkSize int64
	// BodyMemory is how many bytes of bodies are held at once; it is at least
	// two chunks. Writes beyond it wait, and then get 503.
	BodyMemory int64
	// OwnMachine refuses requests for a host of the internet's names: without
	// credentials, a web page whose name is made to resolve to 127.0.0.1 (DNS
	// rebinding) could have its reader's browser read and write here.
	OwnMachine bool
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
	bodies *semaphore.Weighted
	log    zerolog.Logger
	// access hears of every request, audit of those that auditors ask for.
	access, audit zerolog.Logger
}

// New makes an API.
func New(cfg Config, r Reader, w Writer, l Lister, a Authenticator) *API {
	if cfg.Observe == nil {
		cfg.Observe = func(Served) {}
	}
	return &API{
		cfg: cfg, read: r, wrt: w, list: l, auth: a,
		bodies: semaphore.NewWeighted(max(cfg.BodyMemory, 2*(cfg.ChunkSize+1))),
		log:    cfg.Log.With().Str("component", "httpapi").Logger(),
		access: cfg.Log.With().Str("component", "access").Logger(),
		audit:  cfg.Log.With().Str("component", "audit").Logger(),
	}
}

// call is one request on its way through the API.
type call struct {
	*http.Request
	w      *recorder
	who    auth.Principal
	op     string // get, head, put, delete, list, whoami; for the metrics
	source fill.Source

	// What metrics and logs say besides.
	key      keys.Key // zero if the request names none
	digest   string   // SHA-256 of what was written, hex, if it is known
	received int64    // bytes of the body
	problem  string   // the name of the kind of error; empty if there was none
	broken   bool     // the connection was broken off
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := &call{Request: r, w: &recorder{ResponseWriter: w, least: a.cfg.ChunkSize}, op: "other"}
	defer func() { a.served(c, time.Since(began)) }()
	defer func() {
		if p := recover(); p != nil {
			a.recovered(c, p)
		}
	}()
	if err := a.serve(c); err != nil {
		a.fail(c, err)
	}
}

func (a *API) serve(c *call) (err error) {
	if a.cfg.OwnMachine && !isOwnMachine(c.Host) {
		return fmt.Errorf("%w; the request is for %q", errHost, c.Host)
	}
	if c.who, err = a.auth.Authenticate(c.Header.Get("Authorization")); err != nil {
		return err
	}
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: %w; a %% is written %%25 and a ; %%3B", errQuery, err)
	}
	path := c.URL.EscapedPath()
	if path == "/v1/whoami" {
		return a.whoami(c)
	}
	service, key, err := splitPath(path, query)
	if err != nil {
		return err
	}
	if key == "" {
		return a.serveList(c, service, query)
	}
	k, err := keys.New(c.who.Org, service, key)
	if err != nil && query.Has("key") && strings.Contains(key, " ") {
		return fmt.Errorf("%w (in a query a + is written %%2B)", err)
	}
	if err != nil {
		return err
	}
	c.key = k
	switch c.Method {
	case http.MethodGet:
		return a.get(c, k)
	case http.MethodHead:
		return a.head(c, k)
	case http.MethodPut:
		return a.put(c, k)
	case http.MethodDelete:
		return a.delete(c, k)
	}
	return notAllowed(c, "GET, HEAD, PUT, DELETE")
}

// isOwnMachine says whether the host of a request can only be this machine: an
// address, or a name that nobody else can make resolve to one.
func isOwnMachine(host string) bool {
	u := url.URL{Host: host}
	name := strings.TrimSuffix(u.Hostname(), ".")
	if !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// splitPath finds service and key in /v1/{service}/{key}, or the key in
// ?key=. An empty key is the service as a whole. The path is not cleaned: "a//b"
// and ".." are keys like others.
func splitPath(path string, q url.Values) (service, key string, err error) {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return "", "", errNoRoute
	}
	service, escaped, _ := strings.Cut(rest, "/")
	if service != keys.Objects && service != keys.Strategies {
		return "", "", errNoRoute
	}
	key, err = url.PathUnescape(escaped)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w; a %% in a key is written %%25", keys.ErrBadKey, err)
	}
	if !q.Has("key") {
		return service, key, nil
	}
	if key != "" || len(q["key"]) > 1 {
		return "", "", fmt.Errorf("%w: give it once, in the path or as ?key=", keys.ErrBadKey)
	}
	if key = q.Get("key"); key == "" {
		return "", "", fmt.Errorf("%w: ?key= is empty; leave it out to list", keys.ErrBadKey)
	}
	return service, key, nil
}

func (a *API) whoami(c *call) error {
	c.op = "whoami"
	if c.Method != http.MethodGet && c.Method != http.MethodHead {
		return notAllowed(c, "GET, HEAD")
	}
	return writeJSON(c.w, http.StatusOK, struct {
		Org  string    `json:"org"`
		User string    `json:"user"`
		Role auth.Role `json:"role"`
	}{c.who.Org, c.who.User, c.who.Role})
}

func notAllowed(c *call, allow string) error {
	c.w.Header().Set("Allow", allow)
	return fmt.Errorf("%w: %s; allowed here: %s; a write names a key", errMethod, c.Method, allow)
}

// recovered answers a request whose handler panicked, if nothing was sent yet,
// and otherwise breaks the connection off.
func (a *API) recovered(c *call, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // the value that net/http itself compares by identity
		panic(p)
	}
	a.log.Error().Interface("panic", p).Str("path", c.URL.Path).Bytes("stack", debug.Stack()).Msg("panic in a request")
	if c.w.status != 0 {
		c.broken = true
		panic(http.ErrAbortHandler)
	}
	a.fail(c, fill.ErrPanic)
}

// sendStall is how long a client may take to accept what is being sent to it,
// for each megabyte and once more, and no less than for a chunk.
const sendStall = 30 * time.Second

// recorder remembers what was answered. It gives each write time by its length,
// so that a client that stalls is found out and one that is slow is not cut off.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	least  int64 // how many bytes each write gets the time of, however few it has
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	deadline := time.Now().Add(sendStall * time.Duration(1+max(int64(len(b)), r.least)>>20))
	_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(deadline) // a writer without deadlines has none to keep
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// FlushError sends what was written so far.
func (r *recorder) FlushError() error {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController find the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
