package tier

import (
	"fmt"
	"testing"
)

// What was given takes the place of copies, not of own chunks or of what was given
// before, and is the chunk of one name.
func TestGiven(t *testing.T) {
	own, hot, given := New(fmt.Sprint("test", groups.Add(1)), 1<<20, nil)
	piece := make([]byte, 100<<10)
	for i := range 20 {
		name := fmt.Sprint("copy", i)
		hot.Known(name, int64(len(piece)))
		hot.Keep(name, piece)
	}
	kept := uint64(0)
	for given.Keep(kept, IDOf(fmt.Sprint("given", kept)), piece) {
		kept++
	}
	if held := hot.Held(); kept < 9 || held.Bytes > 1<<20 {
		t.Fatalf("%d were kept of what was given, and %d bytes", kept, held.Bytes)
	}
	if !given.Has(0) || given.Has(kept) {
		t.Error("the first was given up for the last")
	}
	if _, ok := given.Take(1, "given2"); ok {
		t.Error("the chunk of another name was taken")
	}
	if b, ok := given.Peek(1, "given1"); !ok || len(b) != len(piece) {
		t.Error("what was given is not there")
	}
	if _, ok := given.Take(1, "given1"); !ok || given.Has(1) {
		t.Error("what was taken is not given up")
	}
	for i := range 9 {
		if i == 3 && (!given.Has(0) || given.Has(kept-1)) {
			t.Error("what was given first went first")
		}
		own.Add(fmt.Sprint("own", i), uint64(i), piece)
	}
	if held := own.Held(); held.Chunks != 9 || held.Bytes+hot.Held().Bytes > 1<<20 {
		t.Errorf("%d own chunks, %d bytes beside them", held.Chunks, hot.Held().Bytes)
	}
	if all := own.Best(100); len(all) != 9 || all[0].ID != IDOf("own8") || all[0].Slot != 8 {
		t.Errorf("own chunks: %v", all)
	}
}

// Chunks that others own now are copies: what members give takes their place.
func TestChunksOfOthersGiveWay(t *testing.T) {
	own, hot, given := New(t.Name(), 1<<20, nil)
	piece := make([]byte, 1<<10)
	const chunks = 700 // more than are looked at at once
	for i := range uint64(chunks) {
		own.Add(fmt.Sprint(i), i, piece)
	}
	own.Demote(func(slot uint64) bool { return slot%2 == 0 })
	if o, h := own.Held(), hot.Held(); o.Chunks != chunks/2 || h.Chunks != chunks/2 || o.Evictions+h.Evictions != 0 {
		t.Fatalf("own %+v, copies %+v", o, h)
	}
	for i := range uint64(chunks) {
		name := fmt.Sprint(i)
		_, isOwn := own.Peek(name)
		_, isCopy := hot.Peek(name)
		if isOwn != (i%2 == 0) || isCopy == isOwn {
			t.Fatalf("chunk %d: own %t, copy %t", i, isOwn, isCopy)
		}
	}
	for i := range uint64(chunks / 2) {
		if !given.Keep(i, IDOf(fmt.Sprint("given", i)), piece) {
			t.Fatalf("no room for the gift %d", i)
		}
	}
	if held := own.Held(); held.Chunks != chunks/2 {
		t.Errorf("%d own chunks are left", held.Chunks)
	}
}
