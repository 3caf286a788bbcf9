package fill

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// A chunk from memory is told to be this node's own or a hot copy of another's.
func TestMemoryTellsHotCopiesFromItsOwn(t *testing.T) {
	f, _, ring := newFiller(t, nil)
	k := newKey(t)
	h := put(t, k, "own")
	for _, want := range []chunks.Source{chunks.S3, chunks.Memory} {
		if v, source, err := chunkAt(f, f.chunks.Of(k, h, 0)); err != nil || v != "own" || source != want {
			t.Errorf("%q from %s, want %s: %v", v, source, want, err)
		}
	}
	if s := f.Stats(); s.Own.Chunks != 1 || s.Own.Bytes < 3 || s.Hot.Chunks != 0 {
		t.Errorf("%+v", s)
	}

	ring.other.Store(true)
	ring.answer.Store(&cluster.Answer{Status: http.StatusOK, Body: []byte("other")})
	h = store.Head{Version: "v", Size: 5}
	for _, want := range []chunks.Source{chunks.Peer, chunks.Peer, chunks.Hot} {
		if v, source, err := chunkAt(f, f.chunks.Of(k, h, 0)); err != nil || v != "other" || source != want {
			t.Errorf("%q from %s, want %s: %v", v, source, want, err)
		}
	}
	if s := f.Stats(); s.Own.Chunks != 1 || s.Hot.Chunks != 1 || s.Hot.Bytes < 5 {
		t.Errorf("%+v", s)
	}
}

// The age of what was evicted is heard of, and that of nothing else.
func TestFreedHearsOfEvictions(t *testing.T) {
	var freed atomic.Int64
	f, _, _ := newFiller(t, func(c *Config) {
		c.Freed = func(age time.Duration) {
			if age < 0 {
				t.Errorf("an age of %s", age)
			}
			freed.Add(1)
		}
	})
	prime := func(chunks int) {
		k := newKey(t)
		for n := range chunks {
			if err := f.Prime(t.Context(), k, store.Head{Version: "v", Size: int64(chunks) * testChunk}, n, make([]byte, testChunk)); err != nil {
				t.Fatal(err)
			}
		}
	}
	prime(60) // of the 64 that there is room for
	if n := freed.Load(); n > 0 || f.Stats().Own.Evictions > 0 {
		t.Errorf("%d freed, %+v", n, f.Stats())
	}
	prime(600)
	if n := f.Stats().Own.Evictions; n < 500 || n != freed.Load() {
		t.Errorf("%d freed, %+v", freed.Load(), f.Stats())
	}
}

// Leases that other nodes were granted are counted.
func TestGrantedLeasesAreCounted(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	put(t, k, "v1")
	for range 3 {
		askAsPeer(t, f, k)
	}
	if n := f.heads.Stats().Granted; n != 3 {
		t.Errorf("%d leases granted", n)
	}
}

// askAsPeer asks for a head as another member does.
func askAsPeer(t *testing.T, f *Filler, k keys.Key) {
	t.Helper()
	text, err := json.Marshal(headQuestion{Place: k.Place(), Bytes: true, Chunk: testChunk})
	if err != nil {
		t.Fatal(err)
	}
	if said := f.handleHead(t.Context(), cluster.Asked{Text: string(text)}); said.Status != http.StatusOK {
		t.Fatalf("status %d: %s", said.Status, said.Text)
	}
}
