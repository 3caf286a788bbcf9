package writepath

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"larder/fill"
)

// roomWait is how long an upload waits for memory for its next part, and a
// forwarded write for its body.
const roomWait = 10 * time.Second

// buffers are the memory of the parts that are on their way on this node. One
// that is given back serves whichever upload is next: if each upload kept its
// own while it waits for the next, that would be memory which nobody counts.
type buffers struct {
	size int64
	room *semaphore.Weighted // one for each buffer that there may be

	mu   sync.Mutex // guards free
	free [][]byte
}

func newBuffers(size, most int64) *buffers {
	return &buffers{size: size, room: semaphore.NewWeighted(most)}
}

// take waits for a buffer, or fails with fill.ErrBusy.
func (b *buffers) take(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, roomWait)
	defer cancel()
	if err := b.room.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("memory for a part: %w: %w", fill.ErrBusy, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free) - 1; last >= 0 {
		buf := b.free[last]
		b.free = b.free[:last]
		return buf, nil
	}
	return make([]byte, b.size), nil
}

// give gives a buffer back, or the part that it holds. Nobody may use it any more.
func (b *buffers) give(buf []byte) {
	b.mu.Lock()
	b.free = append(b.free, buf[:b.size])
	b.mu.Unlock()
	b.room.Release(1)
}

// handOver says that somebody else answers for the memory of a buffer from now on.
func (b *buffers) handOver() { b.room.Release(1) }

// trim lets go of the buffers that nobody uses.
func (b *buffers) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = nil
}
