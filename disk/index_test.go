package disk

import (
	"runtime"
	"testing"
)

// The index takes what the plan of memory counts for it.
func TestIndexTakesLittleMemory(t *testing.T) {
	const chunks = 300_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := &index{}
	for n := range chunks {
		x.set(slotOf(n), entry{place: place{1, uint32(n), 1}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := float64(after.HeapAlloc-before.HeapAlloc) / chunks; each > entryBytes {
		t.Errorf("%.1f bytes a chunk, want at most %d", each, entryBytes)
	} else {
		t.Logf("%.1f bytes a chunk", each)
	}
	runtime.KeepAlive(x)
}
