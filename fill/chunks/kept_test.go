package chunks

import (
	"context"
	"testing"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/fill/tier"
	"larder/fill/tier/disk"
	"larder/keys"
)

// Chunks are counted wherever memory has them, and on disk, but those of another version, of
// another length, or beyond what is asked for are not.
func TestKept(t *testing.T) {
	const size = 1 << 10
	d, err := disk.Open(disk.Config{Dir: t.TempDir(), Size: disk.LeastSize(size), Identity: "test", Chunk: size, Behind: 1 << 20, Index: 1 << 20, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	plan := budget.New(budget.Sizes{Tier: 1 << 20, Limit: 1 << 30, Chunk: size, Part: size})
	s, err := New(Config{Group: t.Name(), Plan: plan, ChunkSize: size, Disk: d, Log: zerolog.Nop()}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}

	const whole = 5*size + 1 // six chunks
	k, of := keys.Key{Org: "acme", Service: keys.Objects, Name: "a"}, keys.Version{ETag: "e", Write: "w"}
	chunk := func(n int) (slot uint64, name string) {
		c := Chunk{key: k, version: of, n: n, size: whole, length: lengthOf(whole, size, n)}
		return c.slot(), c.name()
	}
	for n, keep := range []func(slot uint64, name string){
		func(slot uint64, name string) { s.own.Add(name, slot, make([]byte, size)) },
		func(_ uint64, name string) { s.hot.Keep(name, make([]byte, size)) },
		func(slot uint64, name string) { s.given.Keep(slot, tier.IDOf(name), make([]byte, size)) },
		func(slot uint64, name string) { s.own.Add(name, slot, make([]byte, size-1)) }, // too short
		func(slot uint64, name string) { d.Put(slot, onDisk(name), make([]byte, size)) },
		func(slot uint64, name string) { // the last one, of one byte, at both
			s.own.Add(name, slot, []byte{1})
			d.Put(slot, onDisk(name), []byte{1})
		},
	} {
		keep(chunk(n))
	}
	for _, tt := range []struct {
		what string
		of   keys.Version
		size int64
		most int
		want Kept
	}{
		{"all", of, whole, 10, Kept{Memory: 4, Disk: 2}},
		{"the first two", of, whole, 2, Kept{Memory: 2}},
		{"the first five", of, whole, 5, Kept{Memory: 3, Disk: 1}},
		{"another write", keys.Version{ETag: "e", Write: "v"}, whole, 10, Kept{}},
		{"another object of the key", keys.Version{ETag: "f", Write: "w"}, whole, 10, Kept{}},
		{"nothing", of, 0, 10, Kept{}},
		{"less than nothing", of, -1 << 62, 10, Kept{}},
	} {
		if got := s.Kept(k, tt.of, tt.size, tt.most); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.what, got, tt.want)
		}
	}
}

func TestCount(t *testing.T) {
	s := &Chunks{size: 10}
	for size, want := range map[int64]int{0: 0, 1: 1, 10: 1, 11: 2, 70: 7, 71: 7, 1 << 62: 7} {
		if got := s.Count(size, 7); got != want {
			t.Errorf("an object of %d bytes has %d chunks, of seven at most, want %d", size, got, want)
		}
	}
}
