package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// s3Fault is what the front does to requests to S3. The zero s3Fault is none.
type s3Fault struct {
	Kind  kind
	Share float64       // of the requests that it strikes
	Delay time.Duration // for slow and late
}

// front stands before the S3, one door in each place. It speaks HTTP, so that
// it can fail in the ways that an S3 can.
type front struct {
	target *url.URL
	client *http.Transport
	proxy  *httputil.ReverseProxy
	late   sync.WaitGroup

	mu    sync.Mutex // guards all below
	fault s3Fault
	rng   *rand.Rand
	doors []*door
}

// door is a listener of the front.
type door struct {
	place  place
	addr   string
	server *http.Server
	served chan struct{} // closed when the server is
}

func newFront(t testing.TB, target string, seed uint64) *front {
	f := &front{
		target: &url.URL{Scheme: "http", Host: target},
		client: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		rng:    rand.New(rand.NewPCG(seed, 'S'<<8|'3')),
	}
	f.proxy = &httputil.ReverseProxy{
		Transport: f.client,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = f.target.Scheme, f.target.Host
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	t.Cleanup(func() {
		f.shut()
		f.late.Wait()
		f.client.CloseIdleConnections()
	})
	return f
}

// open adds a door in a place and returns its address.
func (f *front) open(t testing.TB, p place) string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	d := &door{place: p, addr: at(p.local, s3Port)}
	if err := d.serve(f); err != nil {
		t.Fatal(err)
	}
	f.doors = append(f.doors, d)
	return d.addr
}

func (d *door) serve(f *front) error {
	l, err := d.place.listen(d.addr)
	if err != nil {
		return err
	}
	server, served := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}, make(chan struct{})
	d.server, d.served = server, served
	go func() { // ends when shut closes the server
		defer close(served)
		_ = server.Serve(l)
	}()
	return nil
}

// shut breaks all connections off and takes none.
func (f *front) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.doors {
		if d.server != nil {
			_ = d.server.Close()
			<-d.served
			d.server = nil
		}
	}
}

// set changes what the front does from now on.
func (f *front) set(fault s3Fault) error {
	if fault.Kind == s3Gone {
		f.shut()
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	for _, d := range f.doors {
		if d.server != nil {
			continue
		}
		if err := d.serve(f); err != nil {
			return err
		}
	}
	return nil
}

// strike decides what becomes of one request.
func (f *front) strike() s3Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault.Share < f.rng.Float64() {
		return s3Fault{}
	}
	return f.fault
}

// ServeHTTP passes a request on, or does what the fault says.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := f.strike()
	switch fault.Kind {
	case s3Slow:
		sleep(r.Context(), fault.Delay)
		f.proxy.ServeHTTP(w, r)
		sleep(r.Context(), fault.Delay/2)
	case s3Reset:
		panic(http.ErrAbortHandler)
	case s3Error:
		refuse(w, http.StatusInternalServerError, "InternalError")
	case s3Busy:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
	case s3Lost:
		f.proxy.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case s3Late:
		f.complete(r, fault.Delay)
		panic(http.ErrAbortHandler)
	default:
		f.proxy.ServeHTTP(w, r)
	}
}

// complete carries a request out some time after it was given up on.
func (f *front) complete(r *http.Request, after time.Duration) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.Body = io.NopCloser(bytes.NewReader(body))
	f.late.Go(func() {
		defer func() { _ = recover() }() // the proxy aborts if S3 is gone
		time.Sleep(after)                // as a store does that is late
		f.proxy.ServeHTTP(discard{http.Header{}}, out)
	})
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>on purpose</Message></Error>`, code)
}

// discard takes an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
