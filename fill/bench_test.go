package fill

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/chunks"
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
