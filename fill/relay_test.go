package fill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// giver is an owner that gives chunks of body, which are all alike, and breaks off
// after some bytes of one answer.
type giver struct {
	*alone
	body  string
	until int
	which int // of the answers breaks off; 0 is the first

	mu     sync.Mutex // guards all below
	asked  int
	open   int // answers of which not all was read, and that were not closed
	refuse bool
}

func (g *giver) Ask(_ context.Context, _ cluster.Member, q cluster.Question) (cluster.Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.refuse {
		return cluster.Answer{}, errors.New("no connection")
	}
	body := g.body[:min(q.Room, int64(len(g.body)))]
	if !q.Arriving {
		return cluster.Answer{Status: http.StatusOK, Text: []byte(Memory), Body: []byte(body)}, nil
	}
	g.open++
	given := io.Reader(strings.NewReader(body))
	if g.asked-1 == g.which {
		given = io.MultiReader(strings.NewReader(body[:g.until]), brokenOff{})
	}
	return cluster.Answer{Status: http.StatusOK, Text: []byte(Memory), Size: int64(len(body)), Rest: &giving{Reader: given, from: g}}, nil
}

// state is how often the owner was asked, and how many answers are being given.
func (g *giver) state() (asked, open int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked, g.open
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// giving is an answer on its way.
type giving struct {
	io.Reader
	from *giver
	once sync.Once
}

func (g *giving) Close() error {
	g.once.Do(func() {
		g.from.mu.Lock()
		defer g.from.mu.Unlock()
		g.from.open--
	})
	return nil
}

// relayed is a node whose objects another one owns, and one of so many bytes.
func relayed(t *testing.T, size, until int) (f *Filler, g *giver, st *counted, k keys.Key) {
	t.Helper()
	f, st, ring := newFiller(t, func(c *Config) { c.ChunkSize, c.Memory = 8<<20, 64<<20 })
	k = newKey(t)
	g = &giver{alone: ring, body: strings.Repeat("0123456789abcdef", size/16+1)[:size], until: until}
	h := put(t, k, g.body)
	ring.other.Store(true)
	f.ring = g
	s := f.heads.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(k, entry{known: known{Head: h}, until: time.Now().Add(time.Hour)})
	return f, g, st, k
}

// What an owner gives is sent on, wherever it breaks off.
func TestRelay(t *testing.T) {
	for name, c := range map[string]struct{ size, until, which int }{
		"small": {3000, 3000, 0}, "small, broken off": {3000, 1000, 0}, "small, nothing came": {3000, 0, 0},
		"large": {5<<20 + 3, 5<<20 + 3, 0}, "large, broken off": {5<<20 + 3, 3<<20 + 1, 0}, "large, nothing came": {5<<20 + 3, 0, 0},
		"three chunks": {17 << 20, 8 << 20, 0}, "three chunks, the first broken off": {17 << 20, 1 << 20, 0},
		"three chunks, another broken off": {17 << 20, 1 << 20, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, g, st, k := relayed(t, c.size, c.until)
			g.which = c.which
			if got := read(t, f, k); got != g.body {
				t.Errorf("%d bytes of %d", len(got), c.size)
			}
			if _, open := g.state(); open != 0 {
				t.Errorf("%d answers were left open", open)
			}
			if n := st.asked.Load(); n > 0 {
				t.Errorf("the store was asked %d times", n)
			}
			if !f.budgets.streams.budget.TryAcquire(2 * f.cfg.ChunkSize) { // all there is
				t.Error("memory was not given back")
			}
		})
	}
}

// The second who asks lately has a copy made, and the third has it.
func TestRelayOnce(t *testing.T) {
	f, g, _, k := relayed(t, 1<<20, 1<<20)
	for i, want := range []Source{Peer, Peer, Hot} {
		o, err := f.Open(t.Context(), k, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if (o.relay != nil) != (i == 0) || o.Source != want {
			t.Errorf("read %d: relayed %v, from %s", i, o.relay != nil, o.Source)
		}
		o.Close()
		if _, open := g.state(); open != 0 {
			t.Errorf("read %d was closed, and the owner still gives", i)
		}
	}
}

// Nobody who breaks off is believed: if the version is gone, so is the answer.
func TestRelayOfAVersionThatIsGone(t *testing.T) {
	f, g, _, k := relayed(t, 3000, 1000)
	o, err := f.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	put(t, k, "another version")
	g.mu.Lock()
	g.refuse = true
	g.mu.Unlock()
	var got bytes.Buffer
	if err := o.Send(t.Context(), &got); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrPrecondition) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

// An owner that gives no chunk is not asked again for it: it may take seconds to
// find out that it is silent.
func TestRelayRefused(t *testing.T) {
	f, g, st, k := relayed(t, 3000, 0)
	g.refuse = true
	if got := read(t, f, k); got != g.body {
		t.Errorf("%d bytes", len(got))
	}
	if asked, _ := g.state(); asked != 1 || st.asked.Load() != 1 {
		t.Errorf("the owner was asked %d times, the store %d times", asked, st.asked.Load())
	}
}

// slowly takes a while for the first bytes. It notes what it is given, and whether
// the owner still gives meanwhile.
type slowly struct {
	g      *giver
	pieces []int
	held   bool
}

func (w *slowly) Write(b []byte) (int, error) {
	if len(w.pieces) == 0 {
		time.Sleep(relayLimit) // which makes it slow
	} else if _, open := w.g.state(); open > 0 {
		w.held = true
	}
	w.pieces = append(w.pieces, len(b))
	return len(b), nil
}

// A slow caller holds up this node, not the owner.
func TestRelayToASlowCaller(t *testing.T) {
	f, g, _, k := relayed(t, 8<<20, 8<<20)
	o, err := f.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	w := &slowly{g: g}
	if err := o.Send(t.Context(), w); err != nil || !slices.Equal(w.pieces, []int{relayPiece, 8<<20 - relayPiece}) || w.held {
		t.Errorf("pieces of %v bytes, the owner was held: %v, %v", w.pieces, w.held, err)
	}
}

// Whose memory is used again hands out no bytes of another chunk: many read at
// once, parts and all, of objects that differ in each byte.
func TestRelaysShareMemory(t *testing.T) {
	const size, chunk = 9 << 16, 2 << 16
	owner, _, _ := newFiller(t, func(c *Config) { c.ChunkSize = chunk })
	asker, _, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Memory = chunk, 64*chunk })
	ring := &toOwner{routes: map[string]cluster.Answerer{}}
	owner.Answer(func(route string, a cluster.Answerer) { ring.routes[route] = a })
	asker.ring = ring
	var all []keys.Key
	for i := range 20 {
		k := newKey(t)
		put(t, k, strings.Repeat(string(rune('a'+i)), size))
		all = append(all, k)
	}
	is := func(i int, b []byte, n int, err error) {
		if want := byte('a' + i); err != nil || len(b) != n || bytes.Count(b, []byte{want}) != n {
			t.Errorf("object %d: %d bytes of %d, %v", i, len(b), n, err)
		}
	}
	var readers sync.WaitGroup
	for range 4 {
		for i, k := range all {
			readers.Go(func() {
				o, err := asker.Open(t.Context(), k, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer o.Close()
				var b bytes.Buffer
				err = o.Send(t.Context(), &b)
				is(i, b.Bytes(), size, err)
			})
			readers.Go(func() {
				o, err := asker.Open(t.Context(), k, Options{Lazy: true})
				if err != nil {
					t.Error(err)
					return
				}
				defer o.Close()
				r := o.Reader(t.Context(), size)
				defer r.Close()
				_, _ = r.Seek(size/2, io.SeekStart)
				b, err := io.ReadAll(r)
				is(i, b, size-size/2, err)
			})
		}
	}
	readers.Wait()
}
