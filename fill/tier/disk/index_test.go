package disk

import (
	"reflect"
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

// An index that has less memory gives it back, also if writes have evicted what is too much.
func TestIndexIsCompactedAfterWritesHaveShrunkIt(t *testing.T) {
	const most = 100
	d, err := Open(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.closeAll()
	write := func(n int) {
		d.Put(slotOf(n), nameOf(n), bytesOf(n))
		d.write(d.behind.next())
	}
	for n := range 500 {
		write(n)
	}
	maps := func() (all [indexShards]uintptr) {
		for i := range d.index.shards {
			all[i] = reflect.ValueOf(d.index.shards[i].entries).Pointer()
		}
		return all
	}
	was := maps()
	d.Resize(most*entryBytes, 1<<20)
	for n := 500; n < 1000 && d.index.count.Load() > most; n++ {
		write(n)
	}
	d.shrink()
	for i, is := range maps() {
		if is == was[i] {
			t.Fatalf("shard %d has the map that it had, with %d chunks in all shards", i, d.index.count.Load())
		}
	}
	was = maps()
	write(1000)
	if d.shrink(); maps() != was {
		t.Error("an index that has not shrunk was copied")
	}
}
