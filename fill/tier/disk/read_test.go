package disk

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"
)

// Whatever part of a record the system has in its page cache, the rest is read behind it,
// in pieces.
func TestGetInto(t *testing.T) {
	m := newMemory()
	cfg := inMemory(m)
	cfg.Chunk, cfg.Size = 3*piece, 64*piece
	d := open(t, cfg)
	random := rand.NewChaCha8([32]byte{})
	for slot, length := range []int{1, 100, piece - 1, piece, piece + 1, 2*piece + 7, 3 * piece} {
		want := make([]byte, length)
		_, _ = random.Read(want)
		slot := uint64(slot)
		d.Put(slot, "a", want)
		d.settle()
		e, _ := d.index.get(slot)
		start := int(e.offset)
		for _, cached := range []int{0, 1, recordHead, recordHead + 1, recordHead + 2, piece, piece + 34, 2 * piece, 2*piece + 50, 4 * piece} {
			m.cached = start + cached
			got := make([]byte, length)
			if ok, lost := d.GetInto(slot, "a", got); !ok || lost || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %d of the record in memory: there is %t, lost %t", length, cached, ok, lost)
			}
			if got, ok := d.Get(slot, "a"); !ok || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %d of the record in memory: there is %t", length, cached, ok)
			}
			if all := d.GetCached(slot, "a", got); all != (cached >= int(e.size)) {
				t.Errorf("%d bytes, %d of the record in memory: there at once is %t", length, cached, all)
			}
		}
	}
}

// A chunk is not there under another name or length, and there while it waits to be written.
func TestGetIntoOfOthers(t *testing.T) {
	m := newMemory()
	d := open(t, inMemory(m))
	d.put(1)
	for _, length := range []int{0, len(bytesOf(1)) - 1, len(bytesOf(1)) + 1} {
		if ok, lost := d.GetInto(slotOf(1), nameOf(1), make([]byte, length)); ok || lost {
			t.Errorf("chunk 1 is there with %d bytes", length)
		}
	}
	b := make([]byte, len(bytesOf(1)))
	if ok, lost := d.GetInto(slotOf(1), nameOf(2), b); ok || lost {
		t.Error("chunk 1 is there under another name")
	}
	m.mu.Lock()
	d.Put(slotOf(8), nameOf(8), bytesOf(8))
	ok, lost := d.GetInto(slotOf(8), nameOf(8), b)
	m.mu.Unlock()
	if !ok || lost || !bytes.Equal(b, bytesOf(8)) {
		t.Errorf("a chunk that waits to be written: there is %t, lost %t", ok, lost)
	}
	var none *Disk
	if ok, lost := none.GetInto(slotOf(1), nameOf(1), b); ok || lost {
		t.Error("no disk has chunk 1")
	}
}

// What a disk that hangs was to read into is lost, and what one that fails was not.
func TestGetIntoOfADiskThatFails(t *testing.T) {
	m := newMemory()
	d := open(t, inMemory(m))
	d.put(1)
	m.failing(func(string) error { return syscall.EIO })
	b := make([]byte, len(bytesOf(1)))
	if ok, lost := d.GetInto(slotOf(1), nameOf(1), b); ok || lost {
		t.Errorf("an error: there is %t, lost %t", ok, lost)
	}
	m.failing(nil)
	d.limit = 0
	m.mu.Lock()
	m.block = make(chan struct{})
	m.mu.Unlock()
	if ok, lost := d.GetInto(slotOf(1), nameOf(1), b); ok || !lost {
		t.Errorf("a disk that hangs: there is %t, lost %t", ok, lost)
	}
	if s := d.Stats(); s.Reading != 2 {
		t.Errorf("%+v", s)
	}
	close(m.block)
}

// While a disk that fails is left alone, what the system has of it in memory can be read.
func TestGetIntoOfADiskThatIsLeftAlone(t *testing.T) {
	m := newMemory()
	d := open(t, inMemory(m))
	d.put(1)
	for range failuresInARow {
		d.reads.failed(syscall.EIO, "a test")
	}
	b := make([]byte, len(bytesOf(1)))
	if ok, _ := d.GetInto(slotOf(1), nameOf(1), b); ok {
		t.Error("the disk was asked")
	}
	m.cached = 1 << 20
	if ok, _ := d.GetInto(slotOf(1), nameOf(1), b); !ok || !bytes.Equal(b, bytesOf(1)) || !d.reads.rests() {
		t.Errorf("there is %t, and the disk is left alone: %t", ok, d.reads.rests())
	}
}
