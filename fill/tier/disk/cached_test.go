package disk

import (
	"bytes"
	"os"
	"testing"
)

// cached is what GetCached has of a chunk.
func (o *opened) cached(n int) ([]byte, bool) {
	b := make([]byte, len(bytesOf(n)))
	return b, o.GetCached(slotOf(n), nameOf(n), b)
}

// What the system has in its page cache is the chunk, or not there.
func TestGetCached(t *testing.T) {
	m := newMemory()
	m.cached = 1 << 20
	d := open(t, inMemory(m))
	if _, ok := d.cached(1); ok {
		t.Error("chunk 1 is there before it was written")
	}
	d.put(1, 2)
	for n := 1; n <= 2; n++ {
		if b, ok := d.cached(n); !ok || !bytes.Equal(b, bytesOf(n)) {
			t.Errorf("chunk %d: %t, %q", n, ok, b)
		}
	}
	e, _ := d.index.get(slotOf(1))
	if count := e.tag & countMask; count != 1 {
		t.Errorf("it counts as read %d times", count)
	}
	for _, b := range [][]byte{nil, make([]byte, len(bytesOf(1))-1), make([]byte, len(bytesOf(1))+1)} {
		if d.GetCached(slotOf(1), nameOf(1), b) {
			t.Errorf("chunk 1 is there with %d bytes", len(b))
		}
	}
	if d.GetCached(slotOf(1), nameOf(2), make([]byte, len(bytesOf(1)))) {
		t.Error("chunk 1 is there under another name")
	}
	var none *Disk
	if none.GetCached(slotOf(1), nameOf(1), make([]byte, 1)) {
		t.Error("no disk has chunk 1")
	}
}

// Whichever bit was flipped since it was written, and read, a chunk is not there.
func TestGetCachedOfFlippedBits(t *testing.T) {
	m := newMemory()
	m.cached = 1 << 20
	d := open(t, inMemory(m))
	d.put(1)
	d.cached(1)
	name, whole := m.only()
	for i := headerSize; i < len(whole); i++ {
		m.do("flip", func() error { m.files[name][i] ^= 1 << (i % 8); return nil })
		if _, ok := d.cached(1); ok {
			t.Errorf("byte %d flipped: chunk 1 is there", i)
		}
		m.do("flip", func() error { m.files[name][i] ^= 1 << (i % 8); return nil })
	}
	d.want(true, 1)
}

// Not every file system reads from its page cache alone. One that does gives what is in
// the file, and nothing after its end, or once it was closed.
func TestReadCached(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	d.put(numbers(0, 100)...)
	for n := range 100 {
		if b, ok := d.cached(n); ok && !bytes.Equal(b, bytesOf(n)) {
			t.Errorf("chunk %d is wrong: %q", n, b)
		}
	}
	segment := segmentsOf(t, cfg.Dir)[0]
	if err := os.Truncate(segment, headerSize+100); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.cached(1); ok {
		t.Error("it is there after the end of the file")
	}
	d.stop()
	if _, ok := d.cached(0); ok {
		t.Error("it is there after the file was closed")
	}
}
