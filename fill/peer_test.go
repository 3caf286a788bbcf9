package fill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// toOwner is the ring of a node that owns nothing. What it asks of the owner
// is counted, and can be spoilt.
type toOwner struct {
	alone
	routes map[string]cluster.Handler
	asked  atomic.Int64
	spoil  func(*cluster.Answer)
}

func (r *toOwner) Owner(uint64) (cluster.Member, bool) {
	return cluster.Member{Name: "other", ID: "other"}, false
}

func (r *toOwner) Ask(ctx context.Context, _ cluster.Member, q cluster.Question) (cluster.Answer, error) {
	r.asked.Add(1)
	a := r.routes[q.Route](ctx, cluster.Asked{Text: q.Text, Body: bytes.NewReader(q.Body), Size: int64(len(q.Body))})
	if a.Sent != nil {
		defer a.Sent()
	}
	if r.spoil != nil {
		r.spoil(&a)
	}
	return arrived(q, a), nil
}

// newPair makes an owner and a node that asks it.
func newPair(t *testing.T) (asker *Filler, ring *toOwner, owner *Filler, atOwner, atAsker *counted) {
	t.Helper()
	owner, atOwner, _ = newFiller(t, nil)
	ring = &toOwner{routes: map[string]cluster.Handler{}}
	owner.Answer(func(route string, a cluster.Handler) { ring.routes[route] = a })
	asker, atAsker, _ = newFiller(t, nil)
	setRing(asker, ring)
	return asker, ring, owner, atOwner, atAsker
}

// A small object comes with its head: one question to the owner, and one to the
// store if the owner has neither.
func TestSmallObjectsComeWithTheirHeads(t *testing.T) {
	asker, ring, owner, atOwner, atAsker := newPair(t)
	for name, c := range map[string]struct {
		size      int
		questions int64
	}{
		"empty": {0, 1}, "small": {1000, 1}, "a whole chunk": {testChunk, 1}, "more": {testChunk + 5, 2},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t)
			body := strings.Repeat("x", c.size)
			put(t, k, body)
			for _, want := range []struct {
				source chunks.Source
				store  int64
			}{{chunks.S3, 1}, {chunks.Peer, 0}} {
				asker.heads.Drop(k) // as after a lease
				asked, stored := ring.asked.Load(), atOwner.asked.Load()
				o, err := asker.Open(t.Context(), k, Options{})
				if err != nil {
					t.Fatal(err)
				}
				var got strings.Builder
				if err := o.Send(t.Context(), &got); err != nil || got.String() != body {
					t.Errorf("%d bytes, %v", got.Len(), err)
				}
				o.Close()
				if n := ring.asked.Load() - asked; n != c.questions && (c.size <= testChunk || want.source == chunks.S3) {
					t.Errorf("the owner was asked %d times", n)
				}
				if n := atOwner.asked.Load() - stored; c.size <= testChunk && (n != want.store || c.size > 0 && o.Source != want.source) {
					t.Errorf("source %q, the store was asked %d times", o.Source, n)
				}
			}
		})
	}
	if atAsker.asked.Load() != 0 {
		t.Errorf("the asker went to the store %d times", atAsker.asked.Load())
	}
	owner.Close()
}

// A head with a chunk cut short is no answer: the store is asked.
func TestAChunkCutShortIsNoAnswer(t *testing.T) {
	asker, ring, _, _, atAsker := newPair(t)
	k := newKey(t)
	body := strings.Repeat("y", 3000)
	put(t, k, body)
	ring.spoil = func(a *cluster.Answer) { a.Body = a.Body[:len(a.Body)-1] }
	if got := read(t, asker, k); got != body {
		t.Errorf("%d bytes", len(got))
	}
	if atAsker.asked.Load() != 1 {
		t.Errorf("the store was asked %d times", atAsker.asked.Load())
	}
}

// The chunk that comes with a head is of the version that the head names, also
// when the key is written between the owner's lookup and its answer.
func TestAHeadComesWithItsOwnBytes(t *testing.T) {
	asker, _, owner, atOwner, _ := newPair(t)
	k := newKey(t)
	put(t, k, "first")
	atOwner.interfere(nil, func() {
		atOwner.interfere(nil, nil)
		turn := begin(t, owner, k)
		h, err := testStore.Put(t.Context(), k.Place(), store.Write{Body: []byte("second, and longer")})
		if err != nil {
			t.Error(err)
		}
		end(t, turn, h)
	})
	o, err := asker.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var got strings.Builder
	if err := o.Send(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if int64(got.Len()) != o.Head.Size || got.String() != map[int]string{5: "first", 18: "second, and longer"}[got.Len()] {
		t.Errorf("%q under a head of %d bytes", got.String(), o.Head.Size)
	}
}

// What a peer announces is refused before memory is taken for it.
func TestAnnouncedChunksAreRefused(t *testing.T) {
	_, ring, owner, _, _ := newPair(t)
	k := newKey(t)
	for name, q := range map[string]struct {
		size, chunk int64
		n           int
		announced   int64
	}{
		"a TiB for a small chunk":    {1000, testChunk, 0, 1 << 40},
		"less than the chunk":        {1000, testChunk, 0, 999},
		"another chunk size":         {1 << 40, 1 << 40, 0, 1 << 40},
		"an object of negative size": {-5, testChunk, 0, 5},
		"a chunk beyond the end":     {testChunk, testChunk, 1, testChunk},
		"a chunk far beyond the end": {1000, testChunk, math.MaxInt, testChunk},
	} {
		text := fmt.Sprintf("%d %d %s", q.size, q.chunk, keys.Chunk(k, keys.Version{ETag: "v"}, q.n))
		said := ring.routes["fill/keep/2"](t.Context(), cluster.Asked{Text: text, Body: unread{t}, Size: q.announced})
		if said.Status != http.StatusBadRequest && said.Status != http.StatusMisdirectedRequest {
			t.Errorf("%s: %d %s", name, said.Status, said.Text)
		}
	}
	owner.Close()
}

// unread is a body that nobody reads.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("read a body that is refused")
	return 0, io.ErrUnexpectedEOF
}

// A head that cannot be is no answer: the store is asked.
func TestHeadsThatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*cluster.Answer){
		"a negative size": func(a *cluster.Answer) {
			a.Text, a.Body = []byte(`{"Head":{"Version":"v","Size":-9223372036854775808},"First":true}`), nil
		},
		"no JSON": func(a *cluster.Answer) { a.Text = a.Text[1:] },
	} {
		asker, ring, owner, _, atAsker := newPair(t)
		k := newKey(t)
		put(t, k, "body")
		ring.spoil = spoil
		if got := read(t, asker, k); got != "body" || atAsker.asked.Load() != 1 {
			t.Errorf("%s: %q, the store was asked %d times", name, got, atAsker.asked.Load())
		}
		owner.Close()
	}
}

// An owner that does not know the names of writes, as long as nodes are replaced
// one by one: its heads lack them, and it answers no question about chunks.
func TestAnOlderOwner(t *testing.T) {
	asker, ring, _, _, _ := newPair(t)
	ring.spoil = func(a *cluster.Answer) {
		var h headAnswer
		if json.Unmarshal(a.Text, &h) != nil {
			*a = cluster.Answer{Status: http.StatusNotFound}
			return
		}
		h.Head.Write, h.Head.Piece = "", 0
		a.Text, _ = json.Marshal(h)
	}
	for name, write := range map[string]func(*testing.T, keys.Key, string) store.Head{"one chunk": put, "three": listed} {
		for _, size := range []int{100, testChunk, 5 * testChunk / 2} {
			k := newKey(t)
			for _, c := range []string{"a", "b"} { // which replaces it past the owner's knowledge, as another owner does
				body := strings.Repeat(c, size)
				write(t, k, body)
				asker.heads.Drop(k)
				got, err := open(t.Context(), asker, k, Options{})
				if errors.Is(err, store.ErrPrecondition) { // found out to be gone: who asked asks anew
					got, err = open(t.Context(), asker, k, Options{Fresh: true})
				}
				if err != nil || got != body && c == "a" || strings.Trim(got, c) != "" && c == "b" && got != strings.Repeat("a", size) {
					t.Errorf("%s, %d bytes: %d bytes, %v", name, size, len(got), err)
				}
			}
		}
	}
}
