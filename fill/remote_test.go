package fill

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// giver is an owner that gives chunks of body, which are all alike, and breaks off
// after some bytes of one answer.
type giver struct {
	*alone
	body  string
	said  string // beside it; empty is where it has it from
	until int
	which int // of the answers breaks off; 0 is the first

	mu     sync.Mutex // guards all below
	asked  int
	open   int // answers of which not all was read, and that were not closed
	refuse bool
	panics bool
}

func (g *giver) Ask(_ context.Context, _ cluster.Member, q cluster.Question) (cluster.Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	switch {
	case g.panics:
		panic("as it was told")
	case g.refuse:
		return cluster.Answer{}, errors.New("no connection")
	}
	body := g.body[:min(q.Room, int64(len(g.body)))]
	if !q.Arriving {
		return cluster.Answer{Status: http.StatusOK, Text: g.text(), Body: []byte(body)}, nil
	}
	g.open++
	given := io.Reader(strings.NewReader(body))
	if g.asked-1 == g.which {
		given = io.MultiReader(strings.NewReader(body[:g.until]), brokenOff{})
	}
	return cluster.Answer{Status: http.StatusOK, Text: g.text(), Size: int64(len(body)), Rest: &giving{Reader: given, from: g}}, nil
}

func (g *giver) text() []byte { return []byte(cmp.Or(g.said, string(chunks.Memory))) }

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
	f, st, ring := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = 8<<20, planOf(64<<20, 8<<20) })
	k = newKey(t)
	g = &giver{alone: ring, body: strings.Repeat("0123456789abcdef", size/16+1)[:size], until: until}
	h := put(t, k, g.body)
	ring.other.Store(true)
	setRing(f, g)
	f.heads.KeepLease(k, f.heads.Now(k), heads.Known{Head: h}, time.Minute)
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
			if n := st.asked.Load(); n > 1 || n > 0 && c.until == min(c.size, 8<<20) {
				t.Errorf("the store was asked %d times", n)
			}
			if isHeld(f) {
				t.Error("memory was not given back")
			}
		})
	}
}

// The second who asks lately has a copy made, and the third has it.
func TestRelayOnce(t *testing.T) {
	f, g, _, k := relayed(t, 1<<20, 1<<20)
	for i, want := range []chunks.Source{chunks.Peer, chunks.Peer, chunks.Hot} {
		o, err := f.Open(t.Context(), k, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if (o.first.View == nil) != (i == 0) || o.Source != want {
			t.Errorf("read %d: relayed %v, from %s", i, o.first.View == nil, o.Source)
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
	if err := o.Send(t.Context(), &got); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

// An owner that gives no chunk, or breaks off, is not asked again for it: it may
// take seconds to find out that it is silent. And a chunk that was read once is
// not copied for that.
func TestRelayRefused(t *testing.T) {
	for name, refuse := range map[string]bool{"refused": true, "broken off": false} {
		t.Run(name, func(t *testing.T) {
			f, g, st, k := relayed(t, 3000, 1000)
			g.refuse = refuse
			if got := read(t, f, k); got != g.body {
				t.Errorf("%d bytes", len(got))
			}
			if asked, _ := g.state(); asked != 1 || st.asked.Load() != 1 || f.Stats().Hot.Chunks != 0 {
				t.Errorf("the owner was asked %d times, the store %d times; %+v", asked, st.asked.Load(), f.Stats().Hot)
			}
		})
	}
}

// A panic on the way to the owner costs a request to the store, and no more.
func TestPanicInARelay(t *testing.T) {
	f, g, _, k := relayed(t, 17<<20, 8<<20)
	g.panics = true
	o, err := f.Open(t.Context(), k, Options{Lazy: true}) // whose chunks are fetched in goroutines of their own
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if got, err := partOf(t.Context(), o, 0, len(g.body)); err != nil || got != g.body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if isHeld(f) {
		t.Error("memory was not given back")
	}
}

// stalled takes the first bytes, and no others before the owner has been let go.
type stalled struct {
	t *testing.T
	g *giver
	n int
}

func (w *stalled) Write(b []byte) (int, error) {
	if w.n > 0 {
		testcluster.Holds(w.t, "the owner is let go", func() bool {
			_, open := w.g.state()
			return open == 0
		})
	}
	w.n += len(b)
	return len(b), nil
}

// A caller who stalls holds up this node, not the owner.
func TestRelayToAStalledCaller(t *testing.T) {
	f, g, st, k := relayed(t, 8<<20, 8<<20)
	o, err := f.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	w := &stalled{t: t, g: g}
	if err := o.Send(t.Context(), w); err != nil || w.n != 8<<20 {
		t.Errorf("%d bytes, %v", w.n, err)
	}
	if asked, _ := g.state(); asked != 1 || st.asked.Load() != 0 {
		t.Errorf("the owner was asked %d times, the store %d times", asked, st.asked.Load())
	}
}

// Whose memory is used again hands out no bytes of another chunk: many read at
// once, parts and all, of objects that differ in each byte.
func TestRelaysShareMemory(t *testing.T) {
	const size, chunk = 9 << 16, 2 << 16
	owner, _, _ := newFiller(t, func(c *Config) { c.ChunkSize = chunk })
	asker, _, _ := newFiller(t, func(c *Config) { c.ChunkSize, c.Plan = chunk, planOf(64*chunk, chunk) })
	ring := &toOwner{routes: map[string]cluster.Handler{}}
	owner.Answer(func(route string, a cluster.Handler) { ring.routes[route] = a })
	setRing(asker, ring)
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
				b, err := partOf(t.Context(), o, size/2, size)
				is(i, []byte(b), size-size/2, err)
			})
		}
	}
	readers.Wait()
}

// An owner that gives other bytes than were written is found out before the last
// of them is sent on. If none was sent yet, the caller gets the right ones.
func TestRelayOfOtherBytes(t *testing.T) {
	const piece = 512 << 10 // what is sent on at once
	for name, c := range map[string]struct {
		size, at int
		want     error
	}{
		"small": {3000, 1500, nil}, "a piece": {piece, 0, nil}, "more than a piece": {piece + 1, piece, store.ErrUnexpected},
		"large, in the first byte": {5 << 20, 0, store.ErrUnexpected}, "large, in the last": {5 << 20, 5<<20 - 1, store.ErrUnexpected},
		"a whole chunk": {8 << 20, 4 << 20, store.ErrUnexpected},
	} {
		t.Run(name, func(t *testing.T) {
			for _, summed := range []bool{false, true} {
				f, g, _, k := relayed(t, c.size, c.size)
				right := g.body
				if summed {
					g.said = saidOf(right)
				}
				g.body = right[:c.at] + "!" + right[c.at+1:]
				got, err := open(t.Context(), f, k, Options{})
				if !errors.Is(err, c.want) || err == nil && got != right || err != nil && len(got) >= c.size {
					t.Errorf("%d bytes of %d, %v", len(got), c.size, err)
				}
				if n := f.Stats().Mismatches[chunks.Peer]; n != 1 {
					t.Errorf("%d mismatches were counted", n)
				}
				if _, open := g.state(); open != 0 {
					t.Errorf("%d answers were left open", open)
				}
			}
		})
	}
}

// What an owner gave before it broke off has to be of the bytes that come from
// elsewhere.
func TestRelayOfOtherBytesThatBreaksOff(t *testing.T) {
	for _, summed := range []bool{false, true} {
		f, g, _, k := relayed(t, 5<<20, 3<<20)
		right := g.body
		if summed {
			g.said = saidOf(right)
		}
		g.body = "!" + right[1:]
		if got, err := open(t.Context(), f, k, Options{}); !errors.Is(err, store.ErrUnexpected) || len(got) >= len(right) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// Bytes that are fetched ahead, or come with a head, are compared as well.
func TestPeersThatGiveOtherBytes(t *testing.T) {
	asker, ring, _, _, atAsker := newPair(t)
	for name, size := range map[string]int{"with the head": 100, "three chunks": 5 * testChunk / 2} {
		for _, times := range []int{1, 2} { // the second read would be copied
			k := newKey(t)
			body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			write := put
			if size > testChunk {
				write = listed
			}
			write(t, k, body)
			for range times {
				asker.heads.Drop(k)
				ring.spoil = func(a *cluster.Answer) {
					if len(a.Body) > 0 {
						a.Body = bytes.Clone(a.Body)
						a.Body[0] ^= 1
					}
				}
				got, err := open(t.Context(), asker, k, Options{Lazy: size > testChunk}) // a relay that is sent would break off
				if err != nil || got != body {
					t.Errorf("%s: %d bytes of %d, %v", name, len(got), size, err)
				}
			}
		}
	}
	if asker.Stats().Mismatches[chunks.Peer] == 0 || atAsker.asked.Load() == 0 {
		t.Errorf("%+v, the store was asked %d times", asker.Stats(), atAsker.asked.Load())
	}
}
