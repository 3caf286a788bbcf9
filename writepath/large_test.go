package writepath

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"larder/keys"
	"larder/store"
)

// noise is bytes that no two positions share.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

func fine() error { return nil }

func putLarge(t *testing.T, n *node, k keys.Key, body io.Reader, c Conditions) (Result, error) {
	t.Helper()
	return n.path.PutLarge(t.Context(), k, Upload{Head: store.Head{ContentType: "application/octet-stream"}, Body: body, Verify: fine, Conditions: c})
}

// nothingLeft fails the test if an upload of k waits in the store.
func nothingLeft(t *testing.T, k keys.Key) {
	t.Helper()
	left, err := testStore.Abandoned(t.Context(), k.Place(), time.Now().Add(time.Hour))
	if err != nil || len(left) > 0 {
		t.Errorf("uploads left behind: %v, %v", left, err)
	}
}

func TestLargeObjects(t *testing.T) {
	nodes := startCluster(t, 3, time.Minute)
	part := int(nodes[0].path.uploads.partSize)
	for i, size := range []int{0, 1, part - 1, part, part + 1, 3*part + testChunk + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			writer := nodes[i%3]
			k := keyOwnedBy(t, nodes[0])
			body := noise(size)
			r, err := putLarge(t, writer, k, bytes.NewReader(body), Conditions{})
			if err != nil || !r.Created || r.Head.Size != int64(size) {
				t.Fatalf("%d bytes: %+v, %v", size, r, err)
			}
			for _, reader := range nodes {
				if got := get(t, reader, k); got != string(body) {
					t.Errorf("%d bytes by %s come back through %s as %d others", size, writer.name, reader.name, len(got))
				}
			}
			if r, err = putLarge(t, nodes[(i+1)%3], k, bytes.NewReader(body[:size/2]), Conditions{}); err != nil || r.Created {
				t.Errorf("replaced: %+v, %v", r, err)
			}
			for _, reader := range nodes {
				if got := get(t, reader, k); got != string(body[:size/2]) {
					t.Errorf("after it was replaced %s has %d bytes", reader.name, len(got))
				}
			}
			nothingLeft(t, k)
		})
	}
}

// What comes to nothing is seen by nobody and leaves nothing behind.
func TestLargeObjectsThatComeToNothing(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	mustPut(t, nodes[0], k, "v1")
	body := noise(6 << 20)
	broken := errors.New("broken")
	for _, n := range nodes {
		for name, c := range map[string]struct {
			body io.Reader
			ok   func() error
			cond Conditions
			want error
		}{
			"cut short":          {io.MultiReader(bytes.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF)), fine, Conditions{}, io.ErrUnexpectedEOF},
			"cut short, wrapped": {io.MultiReader(bytes.NewReader(body), iotest.ErrReader(fmt.Errorf("read: %w", io.ErrUnexpectedEOF))), fine, Conditions{}, io.ErrUnexpectedEOF},
			"body breaks off":    {io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken)), fine, Conditions{}, broken},
			"not what was said":  {bytes.NewReader(body), func() error { return broken }, Conditions{}, broken},
			"too large":          {io.LimitReader(endless{}, 33<<20), fine, Conditions{}, ErrTooLarge},
			"if absent":          {bytes.NewReader(body), fine, Conditions{IfAbsent: true}, store.ErrPrecondition},
			"if another":         {bytes.NewReader(body), fine, Conditions{IfMatch: []string{"another"}}, store.ErrPrecondition},
		} {
			_, err := n.path.PutLarge(t.Context(), k, Upload{Body: c.body, Verify: c.ok, Conditions: c.cond})
			if !errors.Is(err, c.want) {
				t.Errorf("%s through %s: %v", name, n.name, err)
			}
			if got := get(t, n, k); got != "v1" {
				t.Errorf("%s through %s: %d bytes are there", name, n.name, len(got))
			}
			nothingLeft(t, k)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A large write that is at work does not keep others of its key waiting.
func TestSlowLargeWriteBlocksNobody(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	k := keyOwnedBy(t, nodes[0])
	r, w := io.Pipe()
	large := make(chan error, 1)
	go func() {
		_, err := nodes[1].path.PutLarge(context.Background(), k, Upload{Body: r, Verify: fine})
		large <- err
	}()
	if _, err := w.Write(noise(6 << 20)); err != nil {
		t.Fatal(err)
	}
	mustPut(t, nodes[0], k, "small")
	if got := get(t, nodes[1], k); got != "small" {
		t.Errorf("read %d bytes", len(got))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-large; err != nil {
		t.Fatal(err)
	}
	if got := get(t, nodes[0], k); got != string(noise(6<<20)) {
		t.Errorf("read %d bytes", len(got))
	}
}

// More uploads than memory has room for take turns.
func TestUploadsShareTheirMemory(t *testing.T) {
	nodes := startCluster(t, 1, time.Minute)
	u := nodes[0].path.uploads
	var uploads sync.WaitGroup
	for range 12 {
		k := keyOwnedBy(t, nodes[0])
		uploads.Go(func() {
			if _, err := nodes[0].path.PutLarge(context.Background(), k, Upload{Body: bytes.NewReader(noise(12 << 20)), Verify: fine}); err != nil {
				t.Error(err)
			}
		})
	}
	uploads.Wait()
	if n := u.buffers.pool.Held(); n != 0 {
		t.Errorf("%d bytes of parts were not given back", n)
	}
	if n := u.kept.Held(); n != 0 {
		t.Errorf("%d bytes of kept parts were not given back", n)
	}
}

func TestSweep(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	mine, others := keyOwnedBy(t, nodes[0]), keyOwnedBy(t, nodes[1])
	for _, k := range []keys.Key{mine, others} {
		u, err := testStore.Begin(t.Context(), k.Place(), store.Head{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := testStore.Part(t.Context(), u, 1, []byte("part")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := nodes[0].path.sweepOnce(t.Context(), time.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Errorf("swept %d uploads that are at work, %v", n, err)
	}
	if n, err := nodes[0].path.sweepOnce(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 1 {
		t.Errorf("swept %d uploads, %v", n, err)
	}
	nothingLeft(t, mine)
	if n, err := nodes[1].path.sweepOnce(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 1 {
		t.Errorf("the other owner swept %d uploads, %v", n, err)
	}
	nothingLeft(t, others)
}

// recording is a body that notes which buffers it is read into.
type recording struct {
	io.Reader
	mu   *sync.Mutex // guards seen
	seen map[*byte]bool
}

func (r recording) Read(p []byte) (int, error) {
	end := &p[:cap(p)][cap(p)-1] // the same, however much of the buffer is left
	r.mu.Lock()
	r.seen[end] = true
	r.mu.Unlock()
	return r.Reader.Read(p)
}

// However many uploads wait for memory, there are no more buffers than are
// counted: none keeps one for itself meanwhile.
func TestUploadsShareTheirBuffers(t *testing.T) {
	n := startNode(t, "alone", time.Minute)
	cfg := n.path.cfg
	cfg.Plan = planOf(8<<20, testChunk) // two parts, none of them kept
	n.path.uploads = newUploads(PartSize(cfg.ChunkSize, cfg.MaxObject), cfg.Plan)
	body := noise(3 * int(n.path.uploads.partSize))
	r := recording{mu: &sync.Mutex{}, seen: map[*byte]bool{}}
	n.path.counts.inParts.Add(1) // as if there always were one more
	var uploads sync.WaitGroup
	for range 4 {
		k := keyOwnedBy(t, n)
		uploads.Go(func() {
			in := recording{Reader: bytes.NewReader(body), mu: r.mu, seen: r.seen}
			if _, err := n.path.PutLarge(context.Background(), k, Upload{Body: in, Verify: fine}); err != nil {
				t.Error(err)
			}
		})
	}
	uploads.Wait()
	if len(r.seen) > 2+4 { // each upload reads the beginning of a part into memory of its own
		t.Errorf("%d buffers where there is room for 2", len(r.seen)-4)
	}
}

// stubborn is a store that aborts no upload of one name.
type stubborn struct {
	Store
	name string
}

func (s stubborn) Abort(ctx context.Context, u store.Upload) error {
	if u.Name == s.name {
		return store.ErrUnavailable
	}
	return s.Store.Abort(ctx, u)
}

// An upload that cannot be aborted does not keep the sweep from the others.
func TestSweepGoesOn(t *testing.T) {
	n := startNode(t, "alone", time.Minute)
	k, other := keyOwnedBy(t, n), keyOwnedBy(t, n)
	for _, k := range []keys.Key{k, other} {
		if _, err := testStore.Begin(t.Context(), k.Place(), store.Head{}); err != nil {
			t.Fatal(err)
		}
	}
	p := New(n.path.cfg, stubborn{Store: n.store, name: k.Place()}, n.heads, n.fill, n.cluster)
	if swept, err := p.sweepOnce(t.Context(), time.Now().Add(time.Hour)); !errors.Is(err, store.ErrUnavailable) || swept != 1 {
		t.Errorf("swept %d, %v", swept, err)
	}
	nothingLeft(t, other)
	if swept, err := n.path.sweepOnce(t.Context(), time.Now().Add(time.Hour)); err != nil || swept != 1 {
		t.Errorf("swept %d, %v", swept, err)
	}
}
