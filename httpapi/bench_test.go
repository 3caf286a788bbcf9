package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/cluster"
	"larder/fill"
	"larder/heads"
	"larder/httpapi/auth"
	"larder/store"
)

// oneObject is a store where every name holds the same bytes, and a ring of one
// node.
type oneObject struct{ body []byte }

func (o oneObject) head() store.Head {
	return store.Head{Version: "v1", Size: int64(len(o.body)), ContentType: "text/plain", Modified: time.Unix(1, 0)}
}

func (o oneObject) Get(_ context.Context, _ string, _ int64, alloc store.Alloc) (store.Head, []byte, error) {
	b, err := alloc(int64(len(o.body)))
	if err != nil {
		return store.Head{}, nil, err
	}
	copy(b, o.body)
	return o.head(), b, nil
}

func (o oneObject) GetRange(_ context.Context, _, _ string, off, n int64) (store.Head, []byte, error) {
	return o.head(), bytes.Clone(o.body[off : off+n]), nil
}

func (o oneObject) Head(context.Context, string) (store.Head, error) { return o.head(), nil }

func (oneObject) Sums(context.Context, string) (store.Sums, error) {
	return store.Sums{}, store.ErrNotFound
}

func (oneObject) Owner(uint64) (cluster.Member, bool) { return cluster.Member{Name: "self"}, true }

func (oneObject) Next(uint64, int) []cluster.Member { return nil }

func (oneObject) Ask(context.Context, cluster.Member, cluster.Question) (cluster.Answer, error) {
	return cluster.Answer{}, errors.New("no connection")
}

func (oneObject) Member(string) (cluster.Member, bool) { return cluster.Member{}, false }

type ada struct{}

func (ada) Authenticate(context.Context, auth.Credential) (auth.Principal, error) {
	return auth.Principal{Org: "acme", User: "ada", Role: auth.Writer, TokenID: "t1"}, nil
}

func (a ada) Known(string) (auth.Principal, bool) {
	p, err := a.Authenticate(context.Background(), auth.Credential{})
	return p, err == nil
}

var groups atomic.Int64

// reading is an API before one object of so many bytes.
func reading(tb testing.TB, size int, log zerolog.Logger) *API {
	tb.Helper()
	return readingFrom(tb, oneObject{body: make([]byte, size)}, log)
}

// readingFrom is an API before a store and a ring of one node.
func readingFrom(tb testing.TB, o interface {
	fill.Store
	fill.Ring
}, log zerolog.Logger,
) *API {
	tb.Helper()
	f, err := fill.New(fill.Config{
		Group: fmt.Sprint("httpapi", groups.Add(1)), Plan: planOf(64<<20, 1<<20), ChunkSize: 1 << 20, Log: zerolog.Nop(),
	}, o, heads.New(heads.Config{Lease: time.Hour, Revalidate: time.Hour, Log: zerolog.Nop()}, ringOfOne{o}), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Close)
	return New(Config{MaxObject: 1 << 20, ChunkSize: 1 << 20, Front: true, Log: log}, f, nil, nil, ada{})
}

// ringOfOne is a cluster of one node.
type ringOfOne struct{ fill.Ring }

func (ringOfOne) Self() cluster.Member                                                   { return cluster.Member{} }
func (ringOfOne) Members() []cluster.Member                                              { return nil }
func (ringOfOne) Member(string) (m cluster.Member, ok bool)                              { return m, false }
func (ringOfOne) Departed(time.Duration) []cluster.Departure                             { return nil }
func (ringOfOne) Woke() time.Time                                                        { return time.Time{} }
func (ringOfOne) Changes() uint64                                                        { return 0 }
func (ringOfOne) Fanout(context.Context, []cluster.Member, string, string) []cluster.Ack { return nil }

// discard is a connection that takes everything.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkGetFromMemory is what a GET of 1 KiB costs that memory answers,
// without net/http's own part.
func BenchmarkGetFromMemory(b *testing.B) {
	a := reading(b, 1<<10, zerolog.New(io.Discard).Level(zerolog.InfoLevel))
	r := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
	w := discard{h: http.Header{}}
	a.ServeHTTP(w, r) // from the store
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		a.ServeHTTP(w, r)
	}
}

// planOf is the plan of a tier of so many bytes on a large machine.
func planOf(tier, chunk int64) budget.Plan {
	return budget.New(budget.Sizes{Tier: tier, Limit: 64 << 30, Chunk: chunk, Part: max(chunk, 5<<20)})
}
