// Package admin is a node's port for operators: metrics, liveness, readiness,
// profiles and the cluster as this node sees it. It changes nothing. Liveness
// says only that the process answers; readiness says what is missing. Safe for
// concurrent use.
package admin

import (
	"context"
	"html/template"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/httpapi"
)

// checkEvery is the pause between tries of a readiness check.
const checkEvery = 100 * time.Millisecond

// pages is the answer to a request for a page that does not exist.
const pages = "/metrics, /livez, /readyz, /cluster, /debug/pprof/"

// starting is what is missing until the first look.
const starting = "starting"

// Admin answers operators. Make one with New.
type Admin struct {
	Metrics *Metrics
	page    *template.Template
	log     zerolog.Logger

	mu      sync.Mutex // guards missing
	missing string     // what keeps the node from being ready; empty if it is
}

// New makes an Admin of a node that is not ready yet.
func New(log zerolog.Logger) *Admin {
	return &Admin{
		Metrics: newMetrics(),
		page:    template.Must(template.New("cluster").Parse(page)),
		log:     log.With().Str("component", "admin").Logger(),
		missing: starting,
	}
}

// Run makes the node ready once each check has succeeded, in their order; an
// error says what is missing. A check that has succeeded is not asked again:
// metrics tell of later trouble, and what memory holds is still served. What is
// missing only at the first look, as at every start, is not logged.
func (a *Admin) Run(ctx context.Context, checks ...func(context.Context) error) error {
	was, told := starting, ""
	for tries := 1; len(checks) > 0; tries++ {
		err := checks[0](ctx)
		if err == nil {
			checks, tries = checks[1:], 0
			continue
		}
		missing := err.Error()
		a.become(was, missing)
		if tries > 1 && missing != told {
			told = missing
			a.log.Warn().Str("missing", missing).Msg("not ready")
		}
		was = missing
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(checkEvery):
		}
	}
	a.become(was, "")
	return nil
}

// NotReady takes the node out of service.
func (a *Admin) NotReady(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missing = why
}

// become changes what is missing, if that is still from.
func (a *Admin) become(from, to string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.missing == from {
		a.missing = to
	}
}

// Handler serves the admin port. Pages that show the inside of the node answer only
// callers on its own machine.
func (a *Admin) Handler(c *cluster.Cluster) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, pages) })
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.Metrics.registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /cluster", local(func(w http.ResponseWriter, r *http.Request) { a.cluster(w, r, c) }))
	mux.Handle("/debug/pprof/", local(pprof.Index))
	mux.Handle("/debug/pprof/cmdline", local(pprof.Cmdline))
	mux.Handle("/debug/pprof/profile", local(pprof.Profile))
	mux.Handle("/debug/pprof/symbol", local(pprof.Symbol))
	mux.Handle("/debug/pprof/trace", local(pprof.Trace))
	return ownHost(mux)
}

// ownHost refuses requests to a loopback address whose Host is a name of the
// internet: a web page whose name is made to resolve to 127.0.0.1 could otherwise
// read the port through its reader's browser (DNS rebinding).
func ownHost(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if at != nil && isLoopback(at.String()) && !httpapi.IsOwnMachine(r.Host) {
			text(w, http.StatusForbidden, "this port is for operators: use its address or localhost")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// local refuses callers from elsewhere.
func local(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) {
			text(w, http.StatusForbidden, "this page is for callers on the node's own machine: ask 127.0.0.1 there, on Kubernetes through 'kubectl port-forward'")
			return
		}
		h(w, r)
	})
}

func isLoopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// Missing is what keeps the node from being ready; empty if it is.
func (a *Admin) Missing() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missing
}

func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if missing := a.Missing(); missing != "" {
		text(w, http.StatusServiceUnavailable, missing)
		return
	}
	text(w, http.StatusOK, "ready")
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n")) // a client that has left needs no answer
}
