package fill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// collision is two blocks of one MD5 (Wang and Yu, "How to Break MD5 and Other Hash
// Functions", EUROCRYPT 2005).
func collision(t *testing.T) (one, two string) {
	t.Helper()
	read := func(s string) string {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return read("d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a" +
			"085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0" +
			"e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"),
		read("d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a" +
			"085125e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0" +
			"e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70")
}

// Two contents of one MD5 are two versions, whoever wrote the second.
func TestTwoContentsOfOneETag(t *testing.T) {
	one, two := collision(t)
	for name, write := range map[string]func(*testing.T, *Filler, keys.Key){
		"through the node": func(t *testing.T, f *Filler, k keys.Key) {
			turn := begin(t, f, k)
			end(t, turn, put(t, k, two))
		},
		"through another node": func(t *testing.T, f *Filler, k keys.Key) {
			f.heads.Drop(k)
			put(t, k, two)
		},
		"found after its time": func(t *testing.T, f *Filler, k keys.Key) {
			put(t, k, two)
			meet(f, ringOf(f))
			part(f, ringOf(f))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, _, _ := newFiller(t, nil)
			k := newKey(t)
			first := put(t, k, one)
			if got := read(t, f, k); got != one {
				t.Fatalf("read %x", got)
			}
			write(t, f, k)
			if got := read(t, f, k); got != two {
				t.Errorf("read the bytes of before, of %s", first.Version)
			}
			h, _, err := f.Stat(t.Context(), k, Options{})
			if err != nil || h.Version != first.Version || h.Write == first.Write {
				t.Fatalf("%+v after %+v, %v: the blocks should share their ETag and not their write", h, first, err)
			}
			if _, _, err := chunkAt(f, f.chunks.Of(k, store.Head{Version: first.Version, Write: "aaaaaaaaaaaaaaaaaaaaaaaaaa", Size: 128}, 0)); !errors.Is(err, store.ErrPrecondition) {
				t.Errorf("the bytes of another write were given: %v", err)
			}
		})
	}
}

// spoilt is a store whose answers have a bit flipped, so many of those that spoil
// chooses.
type spoilt struct {
	*counted
	times atomic.Int64
	spoil func(name string, off int64) bool
	bytes atomic.Int64 // of all bodies
}

func (s *spoilt) flip(name string, off int64, h *store.Head, b []byte) {
	h.Sum = nil // as of a store that leaves it to others
	s.bytes.Add(int64(len(b)))
	if len(b) > 0 && (s.spoil == nil || s.spoil(name, off)) && s.times.Add(-1) >= 0 {
		b[len(b)/2] ^= 1
	}
}

func (s *spoilt) Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error) {
	h, b, err := s.counted.Get(ctx, name, limit, alloc)
	s.flip(name, 0, &h, b)
	return h, b, err
}

func (s *spoilt) GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error) {
	h, b, err := s.counted.GetRange(ctx, name, version, off, n)
	s.flip(name, off, &h, b)
	return h, b, err
}

func (s *spoilt) Sums(ctx context.Context, name string) (store.Sums, error) {
	sums, err := s.counted.Sums(ctx, name)
	if err == nil && s.spoil != nil && s.spoil(name, 0) && s.times.Add(-1) >= 0 {
		return store.Sums{}, store.ErrUnexpected
	}
	return sums, err
}

func newSpoilt(t *testing.T, f *Filler, st *counted, times int64) *spoilt {
	t.Helper()
	s := &spoilt{counted: st}
	s.times.Store(times)
	setStore(f, s)
	return s
}

// open is what a read of the whole object comes to.
func open(ctx context.Context, f *Filler, k keys.Key, o Options) (string, error) {
	obj, err := f.Open(ctx, k, o)
	if err != nil {
		return "", err
	}
	defer obj.Close()
	var b strings.Builder
	if o.Lazy {
		return partOf(ctx, obj, 0, int(obj.Head.Size))
	}
	err = obj.Send(ctx, &b)
	return b.String(), err
}

// Bytes of the store that are not those of the head are asked for once more, and
// never given to anybody.
func TestTheStoreMixesUpHeadAndBytes(t *testing.T) {
	for name, o := range map[string]Options{"whole": {}, "asked anew": {Fresh: true}, "in parts": {Lazy: true}} {
		for times, want := range map[int64]error{1: nil, 2: store.ErrUnexpected} {
			f, st, _ := newFiller(t, nil)
			newSpoilt(t, f, st, times)
			k := newKey(t)
			put(t, k, "what was written")
			got, err := open(t.Context(), f, k, o)
			if !errors.Is(err, want) || err == nil && got != "what was written" || err != nil && got != "" {
				t.Errorf("%s, %d wrong answers: %q, %v", name, times, got, err)
			}
			if n := f.Stats().Mismatches[chunks.S3]; n != times {
				t.Errorf("%s: %d mismatches were counted of %d", name, n, times)
			}
			if got := read(t, f, k); got != "what was written" {
				t.Errorf("%s: afterwards %q", name, got)
			}
		}
	}
}

// listed puts an object of many chunks, and the digests of them, as writers do.
func listed(t *testing.T, k keys.Key, body string) store.Head {
	t.Helper()
	return listedIn(t, k, body, testChunk)
}

// listedIn is listed with chunks of so many bytes.
func listedIn(t *testing.T, k keys.Key, body string, chunk int) store.Head {
	t.Helper()
	u, err := testStore.Begin(t.Context(), k.Place(), store.Head{Piece: int64(chunk)})
	if err != nil {
		t.Fatal(err)
	}
	part, err := testStore.Part(t.Context(), u, 1, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	sums := store.Sums{Name: k.Place(), Size: int64(len(body)), Piece: int64(chunk)}
	for at := 0; at < len(body); at += chunk {
		sums.Digests = append(sums.Digests, sha256.Sum256([]byte(body[at:min(len(body), at+chunk)])))
	}
	if _, err := testStore.Put(t.Context(), keys.Sums(k.Org, u.Head.Write), store.Write{Body: sums.Bytes()}); err != nil {
		t.Fatal(err)
	}
	h, err := testStore.Complete(t.Context(), u, []store.Part{part}, store.Conditions{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Each chunk of a large object is compared with its own digest.
func TestChunksOfLargeObjects(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 5*testChunk/32) // two chunks and a half
	for _, off := range []int64{0, testChunk, 2 * testChunk} {
		for times, want := range map[int64]error{1: nil, 2: store.ErrUnexpected} {
			f, st, _ := newFiller(t, nil)
			k := newKey(t)
			s := newSpoilt(t, f, st, times)
			s.spoil = func(name string, at int64) bool { return name == k.Place() && at == off }
			listed(t, k, body)
			got, err := open(t.Context(), f, k, Options{})
			if !errors.Is(err, want) || err == nil && got != body || !strings.HasPrefix(body, got) {
				t.Errorf("chunk at %d, %d wrong answers: %d bytes, %v", off, times, len(got), err)
			}
			if got := read(t, f, k); got != body || f.Stats().Mismatches[chunks.S3] != times || f.Stats().Unverified != 0 {
				t.Errorf("chunk at %d: afterwards %d bytes, %+v", off, len(got), f.Stats())
			}
		}
	}
}

// Without a list that can be read the chunks are served as they come, and counted.
func TestListsThatAreOfNoUse(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 2*testChunk/16)
	for name, spoil := range map[string]func(*testing.T, *Filler, *spoilt, string){
		"gone": func(t *testing.T, _ *Filler, _ *spoilt, list string) { _ = testStore.Delete(t.Context(), list) },
		"of other bytes": func(_ *testing.T, _ *Filler, s *spoilt, list string) {
			s.times.Store(9)
			s.spoil = func(name string, _ int64) bool { return name == list }
		},
		"not a list": func(t *testing.T, _ *Filler, _ *spoilt, list string) {
			_, _ = testStore.Put(t.Context(), list, store.Write{Body: []byte("larder1\n\xff")})
		},
		"of another object": func(t *testing.T, _ *Filler, _ *spoilt, list string) {
			s := store.Sums{Name: "v1/test/objects/another", Size: 2 * testChunk, Piece: testChunk, Digests: make([][32]byte, 2)}
			_, _ = testStore.Put(t.Context(), list, store.Write{Body: s.Bytes()})
		},
	} {
		f, st, _ := newFiller(t, nil)
		k := newKey(t)
		s := newSpoilt(t, f, st, 0)
		h := listed(t, k, body)
		spoil(t, f, s, keys.Sums(k.Org, h.Write))
		if got := read(t, f, k); got != body || f.Stats().Unverified != 2 {
			t.Errorf("%s: %d bytes, %+v", name, len(got), f.Stats())
		}
	}
}

// giveChunk gives a chunk to its owner as a peer does that has just written it, and
// returns the status of the answer.
func giveChunk(t *testing.T, f *Filler, k keys.Key, h store.Head, n int, b string) (status int) {
	t.Helper()
	name := keys.Chunk(k, chunks.VersionOf(h), n)
	asked := cluster.Asked{Text: fmt.Sprintf("%d %d %s", h.Size, testChunk, name), Body: strings.NewReader(b), Size: int64(len(b))}
	f.Answer(func(route string, answer cluster.Handler) {
		if route == "fill/keep/2" {
			status = answer(t.Context(), asked).Status
		}
	})
	return status
}

// A peer that hands over other bytes than were written poisons nothing.
func TestKeepIsProven(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	keep := func(k keys.Key, h store.Head, n int, b string) int {
		return giveChunk(t, f, k, h, n, b)
	}
	for name, write := range map[string]func(*testing.T, keys.Key, string) store.Head{"one chunk": put, "two": listed} {
		k := newKey(t)
		body := strings.Repeat("x", map[string]int{"one chunk": 100, "two": 2 * testChunk}[name])
		h := write(t, k, body)
		n := int(h.Size / testChunk / 2)
		at := int64(n) * testChunk
		chunk := body[at:]
		if got := keep(k, h, n, "y"+chunk[1:]); got == 200 {
			t.Errorf("%s: other bytes were kept", name)
		}
		forged := h
		forged.Write, forged.Digest = "aaaaaaaaaaaaaaaaaaaaaaaaaa", ""
		if got := keep(k, forged, n, chunk); got == 200 {
			t.Errorf("%s: bytes of a write that never was were kept", name)
		}
		if f.chunks.Has(f.chunks.Of(k, h, n)) {
			t.Errorf("%s: it is in memory", name)
		}
		if got := keep(k, h, n, chunk); got != 200 {
			t.Errorf("%s: what was written was not kept: %d", name, got)
		}
		asked := st.asked.Load()
		got, source, err := chunkAt(f, f.chunks.Of(k, h, n))
		if err != nil || got != chunk || source != chunks.Memory || st.asked.Load() != asked {
			t.Errorf("%s: %d bytes from %s, %v", name, len(got), source, err)
		}
	}
	if n := f.Stats().Mismatches[chunks.Writer]; n != 2 {
		t.Errorf("%d mismatches were counted", n)
	}
}

// An object of which nothing tells what was written is not taken from a peer.
func TestKeepOfForeignObjects(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	setStore(f, foreign{body: []byte("by hand")})
	h, _ := f.store.Head(t.Context(), "")
	if got := giveChunk(t, f, k, h, 0, "by hand"); got == 200 {
		t.Error("it was kept")
	}
}

// foreign is a store with one object, which no Larder wrote, and without ETag.
type foreign struct {
	body     []byte
	modified time.Time
}

func (o foreign) Head(context.Context, string) (store.Head, error) {
	return store.Head{Size: int64(len(o.body)), Modified: o.modified}, nil
}

func (o foreign) Get(ctx context.Context, name string, limit int64, _ store.Alloc) (store.Head, []byte, error) {
	h, err := o.Head(ctx, name)
	return h, bytes.Clone(o.body[:min(limit, h.Size)]), err
}

func (o foreign) GetRange(ctx context.Context, name, _ string, off, n int64) (store.Head, []byte, error) {
	h, err := o.Head(ctx, name)
	return h, bytes.Clone(o.body[off : off+n]), err
}

func (foreign) Sums(context.Context, string) (store.Sums, error) {
	return store.Sums{}, store.ErrNotFound
}

// Objects without ETag share no chunks, if anything tells them apart.
func TestObjectsWithoutETag(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	at := time.Unix(1700000000, 0)
	for _, o := range []foreign{{[]byte("first"), at}, {[]byte("later"), at.Add(time.Second)}, {[]byte("longer"), at.Add(time.Second)}} {
		setStore(f, o)
		f.heads.Drop(k)
		if got := read(t, f, k); got != string(o.body) {
			t.Errorf("read %q, want %q", got, o.body)
		}
	}
}

// What a node owns and holds costs no byte of S3 again, whatever made it forget
// the head.
func TestBytesInMemoryAreNotReadAgain(t *testing.T) {
	writing := map[keys.Key]bool{}
	for name, forget := range map[string]func(*Filler, keys.Key){
		"its time is over": func(f *Filler, k keys.Key) { f.heads.Forget(k) },
		"a member joined": func(f *Filler, _ keys.Key) {
			meet(f, ringOf(f))
			part(f, ringOf(f))
		},
		"a peer was about to write": func(f *Filler, k keys.Key) { f.heads.Drop(k) },
		"a write was refused":       func(f *Filler, k keys.Key) { begin(t, f, k).End(heads.Outcome{}) },
		"a write may have happened": func(f *Filler, k keys.Key) { upload(t, begin(t, f, k)).End(heads.Outcome{Unknown: true}) },
		"it is being written": func(f *Filler, k keys.Key) {
			if !writing[k] {
				writing[k] = true
				begin(t, f, k)
			}
		},
	} {
		for _, size := range []int{0, 100, testChunk, 5 * testChunk / 2} {
			f, st, _ := newFiller(t, nil)
			s := newSpoilt(t, f, st, 0)
			k := newKey(t)
			body := strings.Repeat("z", size)
			put(t, k, body)
			read(t, f, k)
			forget(f, k)
			for range 3 {
				asked, came := st.asked.Load(), s.bytes.Load()
				if got := read(t, f, k); got != body {
					t.Errorf("%s: %d bytes of %d", name, len(got), size)
				}
				if n := s.bytes.Load() - came; n != 0 || st.asked.Load()-asked > 1 {
					t.Errorf("%s: %d bytes in memory cost %d requests and %d bytes", name, size, st.asked.Load()-asked, n)
				}
			}
			put(t, k, "another "+body) // and is seen
			forget(f, k)
			if got := read(t, f, k); got != "another "+body {
				t.Errorf("%s: %d bytes are those of before", name, size)
			}
		}
	}
}
