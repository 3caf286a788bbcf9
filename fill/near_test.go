package fill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/fill/tier"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// beside is a ring of this node, which owns all, and another that comes next.
type beside struct {
	*toOwner
}

func (r *beside) Owner(uint64) (cluster.Member, bool) {
	return cluster.Member{Name: "self", ID: "self"}, true
}

func (r *beside) Next(uint64, int) []cluster.Member {
	return []cluster.Member{{Name: "other", ID: "other"}}
}

// newBeside makes a node that owns everything, and one that owned it before.
func newBeside(t *testing.T) (f *Filler, ring *beside, before *Filler, asked *counted) {
	t.Helper()
	before, _, _ = newFiller(t, nil)
	ring = &beside{&toOwner{routes: map[string]cluster.Handler{}}}
	before.Answer(func(route string, h cluster.Handler) { ring.routes[route] = h })
	f, asked, _ = newFiller(t, nil)
	setRing(f, ring)
	return f, ring, before, asked
}

// putDigested writes to the store itself, with the digest of what is written.
func putDigested(t *testing.T, k keys.Key, body string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	w := store.Write{Head: store.Head{ContentType: "text/plain", Digest: hex.EncodeToString(sum[:])}, Body: []byte(body)}
	if _, err := testStore.Put(t.Context(), k.Place(), w); err != nil {
		t.Fatal(err)
	}
}

// An owner that just came has the bytes from who owned the key before, and asks the store
// for the head alone.
func TestBytesComeFromWhoOwnedThemBefore(t *testing.T) {
	f, _, before, asked := newBeside(t)
	k := newKey(t)
	put(t, k, "value")
	if got := read(t, before, k); got != "value" {
		t.Fatal(got)
	}
	o, err := f.Open(t.Context(), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var b strings.Builder
	if err := o.Send(t.Context(), &b); err != nil || b.String() != "value" || o.Source != chunks.Peer {
		t.Errorf("%q from %s: %v", b.String(), o.Source, err)
	}
	if n := asked.asked.Load(); n != 1 { // the head
		t.Errorf("the store was asked %d times", n)
	}
	if s := f.Stats(); s.NearUseful != 2 || s.NearVain != 0 {
		t.Errorf("%+v", s.Stats)
	}
}

// A member may have a chunk and have never heard of its head: its asker had a lease of the
// owner before that.
func TestBytesComeFromWhoNeverHeardOfTheHead(t *testing.T) {
	asker, _, before, _, _ := newPair(t)
	k := newKey(t)
	h := put(t, k, "value")
	if !asker.heads.KeepLease(k, asker.heads.Now(k), heads.Of(h, time.Now()), time.Minute) {
		t.Fatal("the lease is not kept")
	}
	if got := read(t, asker, k); got != "value" {
		t.Fatal(got)
	}
	f, ring, _, _ := newBeside(t)
	before.Answer(func(route string, h cluster.Handler) { ring.routes[route] = h })
	if got := read(t, f, k); got != "value" {
		t.Fatal(got)
	}
	if s := f.Stats(); s.NearUseful != 2 || s.NearVain != 0 {
		t.Errorf("%+v", s.Stats)
	}
}

// Bytes that a member gave are compared with their digest before they are kept, also if
// who asks for them names the chunk alone.
func TestGivenBytesAreComparedWithoutAHead(t *testing.T) {
	asker, ring, owner, _, _ := newPair(t)
	k, body := newKey(t), "value"
	putDigested(t, k, body)
	h, err := testStore.Head(t.Context(), k.Place())
	if err != nil {
		t.Fatal(err)
	}
	if !asker.heads.KeepLease(k, asker.heads.Now(k), heads.Of(h, time.Now()), time.Minute) {
		t.Fatal("the lease is not kept")
	}
	slot, id := keys.ChunkHash(k, 0), tier.IDOf(keys.Chunk(k, chunks.VersionOf(h), 0))
	given := string(append(binary.BigEndian.AppendUint64(nil, slot), id[:]...))
	const wrong = "Value"
	a := ring.routes["fill/give"](t.Context(), cluster.Asked{Text: given, Body: strings.NewReader(wrong), Size: int64(len(wrong))})
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if got := read(t, asker, k); got != body {
		t.Error("other bytes came to the asker")
	}
	for range 2 { // the second read is of memory
		if got := read(t, owner, k); got != body {
			t.Error("other bytes came to a caller of the owner")
		}
	}
}

// A member whose keys went to another makes its chunks copies, which it still gives.
func TestChunksOfOthersAreCopies(t *testing.T) {
	f, _, before, _ := newBeside(t)
	k := newKey(t)
	put(t, k, "value")
	read(t, before, k)
	setRing(before, &toOwner{})
	before.RingChanged()
	testcluster.Holds(t, "a copy", func() bool {
		s := before.Stats()
		return s.Own.Chunks == 0 && s.Hot.Chunks == 1
	})
	if got := read(t, f, k); got != "value" {
		t.Fatal(got)
	}
	if s := f.Stats(); s.NearUseful != 2 || s.NearVain != 0 {
		t.Errorf("%+v", s.Stats)
	}
}

// What a neighbour has of another version, or other bytes, or does not say, comes from the store.
func TestNeighbourThatIsOfNoUse(t *testing.T) {
	for name, spoil := range map[string]func(*cluster.Answer){
		"short": func(a *cluster.Answer) { a.Body = a.Body[:len(a.Body)/2] },
		"other bytes": func(a *cluster.Answer) {
			if len(a.Body) > 0 {
				a.Body = append([]byte("V"), a.Body[1:]...)
			}
		},
		"nothing": func(a *cluster.Answer) {
			*a = chunks.Refusal(chunks.ErrNotHeld)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, ring, before, _ := newBeside(t)
			k := newKey(t)
			putDigested(t, k, "value")
			read(t, before, k)
			ring.spoil = spoil
			if got := read(t, f, k); got != "value" {
				t.Errorf("%q", got)
			}
		})
	}
	t.Run("another version", func(t *testing.T) {
		f, _, before, _ := newBeside(t)
		k := newKey(t)
		put(t, k, "old")
		read(t, before, k)
		put(t, k, "new")
		if got := read(t, f, k); got != "new" {
			t.Errorf("%q", got)
		}
	})
}

// A panic over what a neighbour says strands nobody.
func TestPanicOverANeighbour(t *testing.T) {
	f, ring, before, _ := newBeside(t)
	k := newKey(t)
	put(t, k, "value")
	read(t, before, k)
	ring.spoil = func(a *cluster.Answer) {
		if len(a.Body) > 0 {
			panic("as it was told")
		}
	}
	if _, err := f.Open(t.Context(), k, Options{}); !errors.Is(err, chunks.ErrPanic) {
		t.Fatal(err)
	}
	ring.spoil = nil
	if got := read(t, f, k); got != "value" {
		t.Errorf("%q", got)
	}
}

// Neighbours that have nothing are left alone after a while, until the ring changes.
func TestNeighboursAreLeftAlone(t *testing.T) {
	f, ring, _, _ := newBeside(t)
	put := func(n int) int64 {
		was := ring.asked.Load()
		for range n {
			if _, _, err := f.Stat(t.Context(), newKey(t), Options{}); err == nil {
				t.Fatal("there is something")
			}
			if _, err := f.Open(t.Context(), newKey(t), Options{}); err == nil {
				t.Fatal("there is something")
			}
		}
		return ring.asked.Load() - was
	}
	if n := put(300); n != 256 {
		t.Errorf("asked %d times", n)
	}
	if n := put(10); n != 0 {
		t.Errorf("asked %d times more", n)
	}
	f.RingChanged()
	if n := put(10); n != 10 {
		t.Errorf("asked %d times after a change", n)
	}
}

// A node that leaves gives its chunks to who owns them next. They are compared with their
// digests when they are read.
func TestChunksAreHandedOn(t *testing.T) {
	for _, spoiled := range []bool{false, true} {
		next, atNext, _ := newFiller(t, nil)
		f, _, _ := newFiller(t, nil)
		ring := &beside{&toOwner{routes: map[string]cluster.Handler{}}}
		next.Answer(func(route string, h cluster.Handler) {
			ring.routes[route] = func(ctx context.Context, asked cluster.Asked) cluster.Answer {
				if spoiled && asked.Size > 0 {
					b, err := asked.ReadBody(asked.Size)
					if err != nil {
						return chunks.Refusal(err)
					}
					b = bytes.Clone(b)
					b[len(b)-1] ^= 1
					asked.Body = bytes.NewReader(b)
				}
				return h(ctx, asked)
			}
		})
		setRing(f, ring)
		k := newKey(t)
		putDigested(t, k, "value")
		read(t, f, k)
		if err := f.HandOn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := next.Stats(); s.Hot.Chunks != 1 {
			t.Errorf("given %d chunks", s.Hot.Chunks)
		}
		was := atNext.asked.Load()
		if got := read(t, next, k); got != "value" {
			t.Errorf("spoiled %t: %q", spoiled, got)
		}
		asked, want := atNext.asked.Load()-was, int64(1)
		if spoiled {
			want = 2
		}
		if asked != want {
			t.Errorf("spoiled %t: the store was asked %d times", spoiled, asked)
		}
	}
}
