package fill

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// warm makes a Filler that has one object of 1 KiB in memory, under a lease.
func warm(b *testing.B) (*Filler, keys.Key) {
	b.Helper()
	ring := &alone{}
	trust := heads.Config{Lease: time.Minute, Revalidate: time.Hour, Log: zerolog.Nop()}
	f, err := New(Config{Group: b.Name() + fmt.Sprint(groups.Add(1)), Plan: planOf(64*testChunk, testChunk), ChunkSize: testChunk,
		Log: zerolog.Nop()}, testStore, heads.New(trust, ring), ring)
	if err != nil {
		b.Fatal(err)
	}
	k := keys.Key{Org: "test", Service: keys.Objects, Name: "benchmark"}
	if _, err := testStore.Put(b.Context(), k.Place(), store.Write{Body: make([]byte, 1024)}); err != nil {
		b.Fatal(err)
	}
	o, err := f.Open(b.Context(), k, Options{})
	if err != nil {
		b.Fatal(err)
	}
	o.Close()
	return f, k
}

func BenchmarkOpenFromMemory(b *testing.B) {
	f, k := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		o, err := f.Open(b.Context(), k, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := o.Send(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
		o.Close()
	}
}

func BenchmarkHeadLookup(b *testing.B) {
	f, k := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		if a, err := f.resolve(b.Context(), k, headOnly, "", f.ownerOf(k)); err != nil || a.Source != chunks.Memory {
			b.Fatal(a.Source, err)
		}
	}
}

func BenchmarkChunkHit(b *testing.B) {
	f, k := warm(b)
	h, _, err := f.Stat(b.Context(), k, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if d, err := f.chunks.Take(b.Context(), "", f.chunks.Of(k, h, 0), nil); err != nil || d.Source != chunks.Memory {
			b.Fatal(d.Source, err)
		}
	}
}

// BenchmarkBesideAnObject is what a node's memory spends on a small object beside its
// bytes: the entries of its chunk and of its head.
func BenchmarkBesideAnObject(b *testing.B) {
	const size, many = 1 << 10, 200_000
	ring := &alone{}
	table := heads.New(heads.Config{Memory: 1 << 30, Lease: time.Minute, Revalidate: time.Hour, Log: zerolog.Nop()}, ring)
	f, err := New(Config{Group: b.Name() + fmt.Sprint(groups.Add(1)), Plan: planOf(1<<30, testChunk), ChunkSize: testChunk, Log: zerolog.Nop()}, testStore, table, ring)
	if err != nil {
		b.Fatal(err)
	}
	before := liveHeap()
	for i := range many {
		k := keys.Key{Org: "test", Service: keys.Objects, Name: fmt.Sprint("some/folder/object-", i)}
		sum := sha256.Sum256([]byte(k.Name))
		h := store.Head{
			Version: hex.EncodeToString(sum[:16]), Write: store.NewWriteName(), Digest: hex.EncodeToString(sum[:]), Size: size,
			ContentType: "application/octet-stream", Writer: "ada", Modified: time.Unix(1_700_000_000, 0).UTC(),
		}
		if !table.KeepOwned(k, table.Now(k), heads.Known{Head: h}) {
			b.Fatal("the head is not kept")
		}
		f.chunks.Keep(f.chunks.Of(k, h, 0), make([]byte, size))
	}
	b.ReportMetric(float64(liveHeap()-before)/many-size, "B/object")
	if s := f.Stats(); s.Own.Chunks != many || table.Stats().Live != many {
		b.Errorf("%d chunks and %d heads are there", s.Own.Chunks, table.Stats().Live)
	}
}

// liveHeap is how many bytes are in use.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
