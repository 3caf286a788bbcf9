package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"larder/test/testcluster"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

const testChunk = 64 << 10

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened is a disk that runs until the test closes it.
type opened struct {
	*Disk
	t    *testing.T
	stop func()
}

func testConfig(t *testing.T) Config {
	return Config{Dir: t.TempDir(), Size: 2 << 20, Identity: "bucket", Chunk: testChunk, Behind: 1 << 20, Index: 1 << 20, Log: zerolog.New(zerolog.NewTestWriter(t))}
}

func open(t *testing.T, cfg Config) *opened {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	o := &opened{Disk: d, t: t, stop: func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}}
	t.Cleanup(o.stop)
	return o
}

// put has chunks written, and waits until they are.
func (o *opened) put(chunks ...int) {
	o.t.Helper()
	for _, n := range chunks {
		for dropped := o.Stats().Dropped; ; dropped = o.Stats().Dropped {
			if o.Put(slotOf(n), nameOf(n), bytesOf(n)); o.Stats().Dropped == dropped {
				break
			}
			o.settle()
		}
	}
	o.settle()
}

// settle waits until nothing waits to be written.
func (o *opened) settle() {
	o.t.Helper()
	testcluster.Holds(o.t, "all is written", func() bool {
		o.behind.mu.Lock()
		defer o.behind.mu.Unlock()
		return len(o.behind.slots) == 0
	})
}

func (o *opened) want(there bool, chunks ...int) {
	o.t.Helper()
	for _, n := range chunks {
		b, ok := o.Get(slotOf(n), nameOf(n))
		if ok != there || ok && !bytes.Equal(b, bytesOf(n)) {
			o.t.Errorf("chunk %d: there is %t, %d bytes; want %t", n, ok, len(b), there)
		}
	}
}

func slotOf(n int) uint64  { return uint64(n) * 0x9e3779b97f4a7c15 }
func nameOf(n int) string  { return fmt.Sprintf("chunk %d", n) }
func bytesOf(n int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%06d ", n)), 100+n%7) }

func numbers(from, to int) (all []int) {
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func segmentsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestChunksAreThereAfterARestart(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	d.put(numbers(0, 1000)...)
	d.want(true, numbers(0, 1000)...)
	d.want(false, 1000)
	before := d.Stats()
	d.stop()
	d.want(false, 1) // its files are closed

	d = open(t, cfg)
	d.want(true, numbers(0, 1000)...)
	d.want(false, 1000)
	if now := d.Stats(); now.Chunks != before.Chunks || now.Chunks != 1000 || now.Corrupt != 0 || now.Reading != 0 {
		t.Errorf("before %+v, now %+v", before, now)
	}
	for _, s := range d.all() {
		if !s.sealed {
			t.Errorf("segment %d has no footer", s.number)
		}
	}
}

// Without a footer, and with a part of a record at its end, as a crash leaves it, a
// segment has all that was written whole.
func TestCrash(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	d.put(numbers(0, 50)...)
	copied := t.TempDir()
	for _, path := range segmentsOf(t, cfg.Dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, filepath.Base(path)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Dir = copied
	crashed := open(t, cfg)
	crashed.want(true, numbers(0, 50)...)
	crashed.stop()
	again := open(t, cfg)
	again.want(true, numbers(0, 50)...)
	for _, s := range again.all() {
		if !s.sealed {
			t.Errorf("segment %d has no footer", s.number)
		}
	}
}

func TestALaterVersionTakesThePlaceOfAnEarlier(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	for _, version := range []string{"first", "second"} {
		d.Put(1, version, []byte(version))
		d.settle()
	}
	d.stop()
	d = open(t, cfg)
	if b, ok := d.Get(1, "second"); !ok || string(b) != "second" {
		t.Errorf("%q, %t", b, ok)
	}
	if _, ok := d.Get(1, "first"); ok || d.Has(1, "first") || !d.Has(1, "second") || !d.HasSlot(1) || d.HasSlot(2) {
		t.Error("the slot has more than the later version")
	}
}

func TestWhatIsReadStaysAndTheRestGoes(t *testing.T) {
	cfg := testConfig(t)
	cfg.InMemory = func(name string) bool { return name == nameOf(3) }
	d := open(t, cfg)
	d.put(1, 2, 3)
	for n := 100; n < 6000; n += 20 {
		d.put(numbers(n, n+20)...)
		d.want(true, 1)
	}
	d.want(true, 1, 3)
	d.want(false, 2)
	s := d.Stats()
	if s.Moved == 0 || s.Bytes > cfg.Size || s.Chunks != s.Written-s.Evicted {
		t.Errorf("%+v", s)
	}
	onDisk := int64(0)
	for _, path := range segmentsOf(t, cfg.Dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		onDisk += info.Size()
	}
	if onDisk != s.Bytes {
		t.Errorf("the files have %d bytes, the disk says %d", onDisk, s.Bytes)
	}
}

func TestIndexIsBounded(t *testing.T) {
	cfg := testConfig(t)
	cfg.Index = 100 * entryBytes
	d := open(t, cfg)
	d.put(numbers(0, 500)...)
	if s := d.Stats(); s.Chunks > 100 || s.Chunks < 50 {
		t.Errorf("%d chunks in an index for 100", s.Chunks)
	}
	d.want(true, 499)
}

// An index that has less memory loses the oldest chunks, and takes more again when it has
// more.
func TestResize(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	d.put(numbers(0, 500)...)
	for _, c := range []struct{ entries, least int64 }{{400, 200}, {100, 50}, {5, 0}, {1000, 500}} {
		d.Resize(c.entries*entryBytes, 1<<20)
		d.put(numbers(1500-min(500, 4*int(c.entries)), 1500)...)
		testcluster.Holds(t, "the index has no more than it may", func() bool { return d.Stats().Chunks <= c.entries })
		if n := d.Stats().Chunks; n < c.least {
			t.Errorf("%d chunks in an index for %d", n, c.entries)
		}
	}
	d.want(true, 1499)
	d.stop()
	cfg.Index = 100 * entryBytes
	d = open(t, cfg) // which finds more than it has memory for
	d.put(2000)
	if n := d.Stats().Chunks; n > 100 {
		t.Errorf("%d chunks in an index for 100", n)
	}
	d.Resize(100*entryBytes, 0)
	d.behind.mu.Lock()
	defer d.behind.mu.Unlock()
	if d.behind.most != 0 {
		t.Errorf("%d bytes may wait", d.behind.most)
	}
}

func TestOneProcessHasADirectory(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	if _, err := Open(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	d.stop()
	open(t, cfg)
}

// What another bucket left is removed, and what is none of ours stays.
func TestAnotherIdentity(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	d.put(1)
	d.stop()
	other := filepath.Join(cfg.Dir, "notes.txt")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Identity = "another bucket"
	d = open(t, cfg)
	d.want(false, 1)
	if left := segmentsOf(t, cfg.Dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
