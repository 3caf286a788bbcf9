package disk

import (
	"bytes"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

func inMemory(m *memory) Config {
	return Config{Size: 2 << 20, Identity: "bucket", Chunk: testChunk, Behind: 1 << 20, Index: 1 << 20, Files: m, Log: zerolog.Nop()}
}

// twoSegments are a directory whose one segment has the chunks 0 to 3: as a crash leaves
// it, and with a footer.
func twoSegments(t *testing.T) (crashed, ended *memory) {
	t.Helper()
	ended = newMemory()
	d := open(t, inMemory(ended))
	d.put(0, 1, 2, 3)
	crashed = ended.copied()
	d.stop()
	return crashed, ended
}

// reopened is how many of the chunks 0 to 3 a directory has. Each that is there is right.
func reopened(t *testing.T, m *memory) (there int) {
	t.Helper()
	d, err := Open(inMemory(m))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		b, ok := d.Get(slotOf(n), nameOf(n))
		if ok && !bytes.Equal(b, bytesOf(n)) {
			t.Errorf("chunk %d is wrong: %q", n, b)
		}
		if ok {
			there++
		}
	}
	return there
}

func (m *memory) only() (string, []byte) {
	for name, b := range m.files {
		return name, b
	}
	return "", nil
}

// Wherever a crash cuts the last record off, those before it are there, and it is not.
func TestTruncatedAtEachByte(t *testing.T) {
	crashed, ended := twoSegments(t)
	name, whole := crashed.only()
	before := len(whole) - int(recordSize(nameOf(3), bytesOf(3)))
	for length := before; length <= len(whole); length++ {
		m := newMemory()
		m.files[name] = bytes.Clone(whole[:length])
		want := 3
		if length == len(whole) {
			want = 4
		}
		if got := reopened(t, m); got != want {
			t.Errorf("cut at %d of %d: %d chunks, want %d", length, len(whole), got, want)
		}
	}
	_, sealed := ended.only()
	for length := range sealed {
		m := newMemory()
		m.files[name] = bytes.Clone(sealed[:length])
		if got := reopened(t, m); got < 4 && length >= len(whole) {
			t.Errorf("with the footer cut at %d of %d: %d chunks", length, len(sealed), got)
		}
	}
}

// Whichever bit is flipped, before the start or after it, no chunk is wrong.
func TestFlippedBits(t *testing.T) {
	crashed, ended := twoSegments(t)
	for _, m := range []*memory{crashed, ended} {
		name, whole := m.only()
		for i := range whole {
			damaged := newMemory()
			damaged.files[name] = bytes.Clone(whole)
			damaged.files[name][i] ^= 1 << (i % 8)
			reopened(t, damaged)
		}
	}
	name, whole := ended.only()
	d, err := Open(inMemory(ended))
	if err != nil {
		t.Fatal(err)
	}
	lost := int64(0)
	for i := range whole {
		ended.files[name][i] ^= 1 << (i % 8)
		for n := range 4 {
			b, ok := d.Get(slotOf(n), nameOf(n))
			if ok && !bytes.Equal(b, bytesOf(n)) {
				t.Fatalf("byte %d flipped: chunk %d is wrong", i, n)
			}
		}
		ended.files[name][i] ^= 1 << (i % 8)
		if corrupt := d.Stats().Corrupt; corrupt > lost { // put it back into the index
			lost = corrupt
			records, _, _ := readFooter(&memoryFile{ended, name}, 1, int64(len(whole)))
			for _, l := range records {
				d.index.set(l.slot, l.entry())
			}
		}
	}
	if lost < 4*recordSize(nameOf(0), bytesOf(0)) {
		t.Errorf("%d flipped bits were seen", lost)
	}
}

// A disk that fails is no error to anybody, and goes on when it is well again.
func TestDiskThatFails(t *testing.T) {
	for _, tt := range []struct {
		op  string
		err error
	}{
		{"read", syscall.EIO}, {"write", syscall.EIO}, {"write", syscall.ENOSPC}, {"open", syscall.ENOSPC}, {"open", syscall.EMFILE}, {"sync", syscall.EIO}, {"remove", syscall.EROFS},
	} {
		t.Run(tt.op+" "+tt.err.Error(), func(t *testing.T) {
			m := newMemory()
			d := open(t, inMemory(m))
			d.put(0, 1)
			m.failing(func(op string) error {
				if op == tt.op {
					return tt.err
				}
				return nil
			})
			d.putOnce(numbers(2, 6)...)
			for n := range 6 {
				if b, ok := d.Get(slotOf(n), nameOf(n)); ok && !bytes.Equal(b, bytesOf(n)) {
					t.Errorf("chunk %d is wrong", n)
				}
			}
			m.failing(nil)
			d.putOnce(numbers(6, 8)...)
			d.want(true, 6, 7)
		})
	}
}

// putOnce puts chunks, which may be dropped.
func (o *opened) putOnce(chunks ...int) {
	for _, n := range chunks {
		o.Put(slotOf(n), nameOf(n), bytesOf(n))
	}
	o.settle()
}

// One that fails again and again is left alone.
func TestDiskThatFailsIsLeftAlone(t *testing.T) {
	m := newMemory()
	d := open(t, inMemory(m))
	d.put(numbers(0, 100)...)
	tried := 0
	m.failing(func(op string) error {
		if op == "read" {
			tried++
			return syscall.EIO
		}
		return nil
	})
	d.want(false, numbers(0, 100)...)
	if s := d.Stats(); s.Reading != failuresInARow || tried != failuresInARow {
		t.Errorf("tried %d times: %+v", tried, s)
	}
}

// A directory that cannot be listed is a disk that holds nothing.
func TestDirectoryThatFails(t *testing.T) {
	cfg := inMemory(nil)
	cfg.Files = noFiles{syscall.EIO}
	d := open(t, cfg)
	d.putOnce(1)
	d.want(false, 1)
	if s := d.Stats(); s.Opening != 1 || s.Dropped != 1 || s.Writing != 1 {
		t.Errorf("%+v", s)
	}
	var none *Disk
	none.Put(1, "a", []byte("b"))
	if _, ok := none.Get(1, "a"); ok || none.Has(1, "a") || none.HasSlot(1) || none.Stats() != (Stats{}) {
		t.Error("no disk has something")
	}
}

// Nobody waits for ever for a disk that hangs.
func TestDiskThatHangs(t *testing.T) {
	m := newMemory()
	d := open(t, inMemory(m))
	d.put(1)
	d.limit = 0
	m.mu.Lock()
	m.block = make(chan struct{})
	m.mu.Unlock()
	d.want(false, 1)
	if s := d.Stats(); s.Reading != 1 {
		t.Errorf("%+v", s)
	}
	close(m.block)
}

// What waits to be written is bounded, and is there meanwhile.
func TestWhatWaitsIsBounded(t *testing.T) {
	cfg := inMemory(newMemory())
	cfg.Behind = 10 * int64(len(bytesOf(1)))
	d, err := Open(cfg) // nobody writes
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		d.Put(slotOf(n), nameOf(n), bytesOf(n))
	}
	s := d.Stats()
	if s.Dropped < 85 || s.Dropped > 95 || d.behind.bytes > cfg.Behind {
		t.Errorf("%d bytes wait: %+v", d.behind.bytes, s)
	}
	if b, ok := d.Get(slotOf(0), nameOf(0)); !ok || !bytes.Equal(b, bytesOf(0)) || !d.Has(slotOf(0), nameOf(0)) || !d.HasSlot(slotOf(0)) {
		t.Error("a chunk that waits is not there")
	}
}

func TestManyAtOnce(t *testing.T) {
	cfg := testConfig(t)
	cfg.Size = LeastSize(cfg.Chunk)
	cfg.InMemory = func(name string) bool { return len(name)%2 == 0 }
	d := open(t, cfg)
	var g sync.WaitGroup
	for worker := range 8 {
		g.Go(func() {
			for i := range 2000 {
				n := (i*7 + worker*131) % 5000
				d.Put(slotOf(n), nameOf(n), bytesOf(n))
				if b, ok := d.Get(slotOf(n-3), nameOf(n-3)); ok && !bytes.Equal(b, bytesOf(n-3)) {
					t.Errorf("chunk %d is wrong", n-3)
				}
			}
		})
	}
	g.Wait()
	d.settle()
	if s := d.Stats(); s.Corrupt+s.Reading+s.Writing > 0 || s.Bytes > cfg.Size || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
}
