package fill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"larder/budget"
	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/store/storetest"
)

const testChunk = 64 << 10

// testStore is the S3 server that all tests of the package share.
var testStore *store.S3

func TestMain(m *testing.M) {
	os.Exit(storetest.Main(m, func(s *store.S3) { testStore = s }))
}

// counted is the store with a count of what it was asked, and a place to
// interfere.
type counted struct {
	*store.S3
	asked  atomic.Int64
	mu     sync.Mutex
	before func() // called before a request goes to the store
	after  func() // called when it has answered, before the answer is returned
}

func (c *counted) interfere(before, after func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before, c.after = before, after
}

func (c *counted) around() (after func()) {
	c.asked.Add(1)
	c.mu.Lock()
	before, after := c.before, c.after
	c.mu.Unlock()
	if before != nil {
		before()
	}
	if after == nil {
		after = func() {}
	}
	return after
}

func (c *counted) Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error) {
	after := c.around()
	h, b, err := c.S3.Get(ctx, name, limit, alloc)
	after()
	return h, b, err
}

func (c *counted) GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error) {
	after := c.around()
	h, b, err := c.S3.GetRange(ctx, name, version, off, n)
	after()
	return h, b, err
}

func (c *counted) Head(ctx context.Context, name string) (store.Head, error) {
	after := c.around()
	h, err := c.S3.Head(ctx, name)
	after()
	return h, err
}

// alone is a ring of one node, until another is made its owner.
type alone struct {
	other  atomic.Bool
	met    atomic.Bool                    // another member is there, which does not settle
	answer atomic.Pointer[cluster.Answer] // what the other answers; nil: no connection
}

func (a *alone) Owner(uint64) (cluster.Member, bool) {
	if a.other.Load() {
		return cluster.Member{Name: "other", ID: "other"}, false
	}
	return cluster.Member{Name: "self", ID: "self"}, true
}

func (a *alone) Next(uint64, int) []cluster.Member { return nil }

func (a *alone) Ask(_ context.Context, _ cluster.Member, q cluster.Question) (cluster.Answer, error) {
	if r := a.answer.Load(); r != nil {
		return arrived(q, *r), nil
	}
	return cluster.Answer{}, errors.New("no connection")
}

// arrived is an answer as the asker of q gets it.
func arrived(q cluster.Question, a cluster.Answer) cluster.Answer {
	a.Size = int64(len(a.Body))
	if q.Arriving && a.Size > 0 {
		a.Rest, a.Body = io.NopCloser(bytes.NewReader(a.Body)), nil
	}
	return a
}

func (a *alone) Member(string) (cluster.Member, bool) {
	return cluster.Member{ID: "other"}, true
}

func (a *alone) Self() cluster.Member { return cluster.Member{Name: "self", ID: "self"} }

func (a *alone) Members() []cluster.Member {
	if a.met.Load() {
		return []cluster.Member{{ID: "met"}}
	}
	return nil
}

func (a *alone) Departed(time.Duration) []cluster.Departure { return nil }

func (a *alone) Changes() uint64 { return 0 }

func (a *alone) Woke() time.Time { return time.Time{} }

func (a *alone) Fanout(context.Context, []cluster.Member, string, string) []cluster.Ack { return nil }

// anyStore and anyRing are what a Filler reads from. A test may put others in their
// place before it reads.
type (
	anyStore struct{ Store }
	anyRing  struct{ Ring }
)

func setStore(f *Filler, s Store) { f.store.(*anyStore).Store = s }
func setRing(f *Filler, r Ring)   { f.ring.(*anyRing).Ring = r }

// ringOf is the ring that a Filler was made with.
func ringOf(f *Filler) *alone { return f.ring.(*anyRing).Ring.(*alone) }

// meet has the node meet a member that it cannot settle with, and part has that go.
func meet(f *Filler, a *alone) { a.met.Store(true); f.heads.RingChanged() }
func part(f *Filler, a *alone) { a.met.Store(false); f.heads.RingChanged() }

// retire has the node leave.
func retire(t *testing.T, f *Filler) {
	t.Helper()
	if err := f.heads.Retire(t.Context()); err != nil {
		t.Error(err)
	}
}

// begin begins a write.
func begin(t *testing.T, f *Filler, k keys.Key) *heads.Turn {
	t.Helper()
	turn, err := f.heads.Begin(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// upload marks a write.
func upload(t *testing.T, turn *heads.Turn) *heads.Turn {
	t.Helper()
	if err := turn.Upload(time.Now()); err != nil {
		t.Error(err)
	}
	return turn
}

// end ends a write that happened.
func end(t *testing.T, turn *heads.Turn, h store.Head) {
	t.Helper()
	upload(t, turn).End(heads.Outcome{Done: true, Known: heads.Known{Head: h}})
}

var groups atomic.Int64

func newFiller(t *testing.T, change func(*Config)) (*Filler, *counted, *alone) {
	t.Helper()
	return trusting(t, heads.Config{Lease: time.Minute, Revalidate: time.Hour}, change)
}

// trusting is newFiller with other leases.
func trusting(t *testing.T, trust heads.Config, change func(*Config)) (*Filler, *counted, *alone) {
	t.Helper()
	cfg := Config{
		Group: fmt.Sprint("test", groups.Add(1)), Plan: planOf(64*testChunk, testChunk), ChunkSize: testChunk, Log: zerolog.Nop(),
	}
	if change != nil {
		change(&cfg)
	}
	st, ring := &counted{S3: testStore}, &alone{}
	f, err := New(cfg, &anyStore{st}, heads.New(trust, ring), &anyRing{ring})
	if err != nil {
		t.Fatal(err)
	}
	// What both ends of the connections to the shared store do is theirs.
	others := []goleak.Option{
		goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).workerFunc"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	}
	t.Cleanup(func() {
		f.Close()
		goleak.VerifyNone(t, others...)
	})
	return f, st, ring
}

// newKey is a key that no other test uses.
func newKey(t *testing.T) keys.Key {
	t.Helper()
	k, err := keys.New("test", keys.Objects, fmt.Sprint(t.Name(), groups.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// put writes to the store itself, past every cache.
func put(t *testing.T, k keys.Key, body string) store.Head {
	t.Helper()
	h, err := testStore.Put(t.Context(), k.Place(), store.Write{Head: store.Head{ContentType: "text/plain"}, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func read(t *testing.T, f *Filler, k keys.Key) string {
	t.Helper()
	o, err := f.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var b strings.Builder
	if err := o.Send(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// planOf is the plan of a tier of so many bytes on a large machine.
func planOf(tier, chunk int64) budget.Plan {
	return budget.New(budget.Sizes{Tier: tier, Limit: 64 << 30, Chunk: chunk, Part: max(chunk, 5<<20)})
}

// partOf is what a part of an object comes to.
func partOf(ctx context.Context, o *Object, off, end int) (string, error) {
	p, err := o.Part(ctx, int64(off), int64(end))
	if err != nil {
		return "", err
	}
	defer p.Close()
	var b strings.Builder
	err = p.Send(ctx, &b)
	return b.String(), err
}

// chunkAt is a chunk from wherever it is to be had.
func chunkAt(f *Filler, c chunks.Chunk) (string, chunks.Source, error) {
	got, err := f.chunks.Begin(context.Background(), "", c, false)
	if err != nil {
		return "", "", err
	}
	defer got.Close()
	err = got.Wait(context.Background())
	return string(got.View), got.Source, err
}

// isHeld reports whether memory of reads is held.
func isHeld(f *Filler) bool {
	return f.Stats().Underway > 0
}
