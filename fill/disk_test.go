package fill

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"larder/fill/chunks"
	"larder/fill/tier/disk"
	"larder/heads"
	"larder/keys"
	"larder/test/testcluster"
)

// someFiles are a directory of which the system has all in its page cache, or nothing.
type someFiles struct {
	dir    string
	cached bool
	fails  *atomic.Bool // reads fail
}

func filesOf(t *testing.T, cached bool) someFiles {
	return someFiles{t.TempDir(), cached, &atomic.Bool{}}
}

type someFile struct {
	*os.File
	of someFiles
}

func (d someFiles) Open(name string, _ bool) (disk.File, error) {
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	return someFile{f, d}, err
}
func (d someFiles) List() ([]string, error)  { return nil, nil }
func (d someFiles) Remove(name string) error { return os.Remove(filepath.Join(d.dir, name)) }

func (f someFile) Size() (int64, error) { return f.Seek(0, 2) }

func (f someFile) ReadAt(p []byte, off int64) (int, error) {
	if f.of.fails.Load() {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, off)
}

func (f someFile) ReadCached(pieces [][]byte, off int64) (n int) {
	for _, p := range pieces {
		if !f.of.cached {
			break
		}
		m, err := f.ReadAt(p, off+int64(n))
		if n += m; err != nil {
			break
		}
	}
	return n
}

// withDisk is a node with memory for four chunks, and a disk that keeps files in a
// directory of its own, or in files if there are any.
func withDisk(t *testing.T, trust heads.Config, files disk.Files) (f *Filler, asked *counted, d *disk.Disk) {
	t.Helper()
	f, asked, _ = trusting(t, trust, func(cfg *Config) {
		var err error
		if d, err = disk.Open(disk.Config{
			Dir: t.TempDir(), Files: files, Size: 64 << 20, Identity: "test", Chunk: testChunk, Behind: 32 << 20, Index: 1 << 20, Log: cfg.Log,
		}); err != nil {
			t.Fatal(err)
		}
		cfg.Disk = d
		cfg.Plan = planOf(4*testChunk, testChunk)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f, asked, d
}

// diskNode is a node with a key of a chunk that its disk has, and its memory has not.
type diskNode struct {
	*Filler
	key   keys.Key
	body  string
	asked *counted
	disk  *disk.Disk
}

func onDisk(t *testing.T, files someFiles) (n diskNode) {
	t.Helper()
	n.Filler, n.asked, n.disk = withDisk(t, heads.Config{Lease: 1 << 40, Revalidate: 1 << 41}, files)
	n.key, n.body = newKey(t), strings.Repeat("x", testChunk)
	put(t, n.key, n.body)
	read(t, n.Filler, n.key)
	for range 16 { // far more than memory holds, or remembers
		other := newKey(t)
		put(t, other, n.body)
		read(t, n.Filler, other)
	}
	testcluster.Holds(t, "all is written", func() bool { return n.disk.Stats().Written == 17 })
	return n
}

// What is on the disk is ready without memory of the tier, the first time. The second time
// lately it is worth that memory, where Open puts it.
func TestReadyFromDisk(t *testing.T) {
	n := onDisk(t, filesOf(t, true))
	f, k, body := n.Filler, n.key, n.body
	kept := f.Stats().Own
	r, ok := f.Ready(k, "ada")
	if !ok || string(r.View) != body || r.Source != chunks.Disk {
		t.Errorf("%d bytes from %q, %t", len(r.View), r.Source, ok)
	}
	r.Close()
	if now := f.Stats().Own.Chunks; now != kept.Chunks || isHeld(f) {
		t.Errorf("memory has %d chunks, and had %d", now, kept.Chunks)
	}
	if _, ok := f.Ready(k, "ada"); ok {
		t.Error("it is ready from disk again")
	}
	if read(t, f, k) != body {
		t.Error("it is lost")
	}
	if r, ok = f.Ready(k, "ada"); !ok || r.Source != chunks.Memory {
		t.Errorf("from %q, %t; want it from memory", r.Source, ok)
	}
	r.Close()
}

// A caller who is alone reads from the disk without memory of the tier, too, whether or not
// the disk has to be waited for.
func TestOpenFromDisk(t *testing.T) {
	for _, cached := range []bool{true, false} {
		n := onDisk(t, filesOf(t, cached))
		for _, want := range []chunks.Source{chunks.Disk, chunks.Disk, chunks.Memory} { // the second has it kept
			n.opens(t, want)
		}
		if isHeld(n.Filler) {
			t.Error("memory is held when all was sent")
		}
	}
}

// opens opens and sends the object, whose bytes come from there.
func (n diskNode) opens(t *testing.T, want chunks.Source) {
	t.Helper()
	o, err := n.Open(t.Context(), n.key, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var b strings.Builder
	if err := o.Send(t.Context(), &b); err != nil || b.String() != n.body || o.Source != want {
		t.Errorf("%d bytes from %s, want them from %s: %v", b.Len(), o.Source, want, err)
	}
}

// A disk that fails is asked once for a chunk, and then the store.
func TestOpenFromADiskThatFails(t *testing.T) {
	files := filesOf(t, false)
	n := onDisk(t, files)
	before := n.asked.asked.Load()
	files.fails.Store(true)
	n.opens(t, chunks.S3)
	if asked, failed := n.asked.asked.Load()-before, n.disk.Stats().Reading; asked != 1 || failed != 1 {
		t.Errorf("the store was asked %d times, and the disk failed %d times; want 1 of each", asked, failed)
	}
}

// To look what a batch has to ask for is no use of it: a batch that reads once leaves the
// memory of the tier alone, as one read does.
func TestGatherIsNoUse(t *testing.T) {
	n := onDisk(t, filesOf(t, true))
	f, k := n.Filler, n.key
	if found := f.Gather(t.Context(), []keys.Key{k}); found[0].Here {
		t.Error("what is on the disk is in memory")
	}
	if r, ok := f.Ready(k, "ada"); !ok || r.Source != chunks.Disk {
		t.Errorf("from %q, %t; want it from the disk, as the first time", r.Source, ok)
	} else {
		r.Close()
	}
}

// What memory has let go of is on the disk, also under a head that was asked anew.
func TestDiskHasWhatMemoryLetGo(t *testing.T) {
	f, asked, _ := withDisk(t, heads.Config{Lease: time.Minute, Revalidate: time.Hour}, nil)
	body := strings.Repeat("x", testChunk)
	first := newKey(t)
	put(t, first, "first"+body[5:])
	read(t, f, first)
	for range 8 {
		k := newKey(t)
		put(t, k, body)
		read(t, f, k)
	}
	was := asked.asked.Load()
	o, err := f.Open(t.Context(), first, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := o.Send(t.Context(), &b); err != nil || b.String() != "first"+body[5:] || o.Source != chunks.Disk {
		t.Errorf("%d bytes from %s: %v", b.Len(), o.Source, err)
	}
	o.Close()
	if n := asked.asked.Load() - was; n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	o, err = f.Open(t.Context(), first, Options{Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	o.Close()
	if asked.asked.Load()-was != 1 {
		t.Errorf("asked anew: the store was asked %d times", asked.asked.Load()-was)
	}
}
