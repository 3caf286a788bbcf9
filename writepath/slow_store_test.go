package writepath

import (
	"bytes"
	"context"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"larder/budget"
	"larder/store"
)

// slowParts is a store that takes a minute for each part.
type slowParts struct{ Store }

func (slowParts) Part(_ context.Context, _ store.Upload, n int, b []byte) (store.Part, error) {
	time.Sleep(time.Minute)
	return store.Part{Number: n, Size: int64(len(b))}, nil
}

// Who has sent all of a large object is not cut off while the store takes it, however many
// others wait for the memory of its parts.
func TestWhoHasSentAllIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const part = 1 << 20
		plan := budget.Plan{Parts: 4 * part} // of which one user has three at most
		p := &Path{cfg: Config{ChunkSize: part, MaxObject: 1 << 30}, store: slowParts{}, uploads: newUploads(part, plan)}
		pool := p.uploads.buffers.pool
		large := &transfer{path: p, user: "acme/ada", sums: map[int][][32]byte{}}
		large.holder = pool.Hold(func() { t.Error("who has sent all was cut off") })
		large.holder.Waits()
		ended := make(chan error, 1)
		go func() {
			defer large.holder.Done()
			ended <- large.run(t.Context(), iotest.DataErrReader(bytes.NewReader(make([]byte, 3*part))))
		}()
		synctest.Wait()
		if held := pool.Held(); held != 3*part {
			t.Fatalf("%d bytes are held, want three parts'", held)
		}
		for _, user := range []string{"acme/bob", "acme/eve"} { // the second waits
			buf, err := p.uploads.buffers.take(t.Context(), user, func() bool { return true })
			if err != nil {
				t.Error(err)
			}
			defer p.uploads.buffers.give(buf)
		}
		if err := <-ended; err != nil || len(large.parts) != 3 {
			t.Errorf("%d parts: %v", len(large.parts), err)
		}
	})
}
