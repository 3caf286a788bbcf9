package writepath

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"larder/budget"
	"larder/keys"
	"larder/store"
)

// uploads bound the memory that uploads hold on this node.
type uploads struct {
	partSize int64
	buffers  *buffers     // of parts on their way
	kept     *budget.Pool // written parts that wait to be put into memory; nobody waits for it
	bodies   *budget.Pool // objects of one chunk that other nodes forward
}

func newUploads(partSize int64, plan budget.Plan) uploads {
	return uploads{
		partSize: partSize,
		buffers:  newBuffers(partSize, plan.Parts),
		kept:     budget.NewPool("written parts", plan.Kept, 0),
		bodies:   budget.NewPool("bodies that other nodes forward", plan.Forwarded, 0),
	}
}

// PartSize is what objects larger than a chunk are cut into on their way to the
// store, in bytes: whole chunks, of which S3 takes no smaller ones and not too many.
func PartSize(chunk, maxObject int64) int64 {
	chunk = max(chunk, 1)
	least := max(store.MinPart, maxObject/store.MaxParts+1)
	return (least + chunk - 1) / chunk * chunk
}

// userOf names the user whom the memory of a write is counted for.
func userOf(k keys.Key, h store.Head) string { return k.Org + "/" + h.Writer }

// buffers are the memory of the parts that are on their way on this node. One
// that is given back serves whichever upload is next: if each upload kept its
// own while it waits for the next, that would be memory which nobody counts.
type buffers struct {
	size int64
	pool *budget.Pool

	mu   sync.Mutex // guards free
	free [][]byte
}

// buffer is the memory of one part.
type buffer struct {
	bytes []byte
	grant *budget.Grant
}

func newBuffers(size, most int64) *buffers {
	return &buffers{size: size, pool: budget.NewPool("parts of large objects", most, 0)}
}

// take waits for a buffer, or fails with budget.ErrBusy. While the upload has
// parts on their way, it waits for those: each has a bound of its own.
func (b *buffers) take(ctx context.Context, user string, underWay func() bool) (buffer, error) {
	grant, err := b.pool.Take(ctx, user, b.size)
	for errors.Is(err, budget.ErrBusy) && ctx.Err() == nil && underWay() {
		grant, err = b.pool.Take(ctx, user, b.size)
	}
	if err != nil {
		return buffer{}, fmt.Errorf("memory for a part: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free) - 1; last >= 0 {
		bytes := b.free[last]
		b.free = b.free[:last]
		return buffer{bytes, grant}, nil
	}
	return buffer{make([]byte, b.size), grant}, nil
}

// give gives a buffer back, or none. Nobody may use its bytes any more.
func (b *buffers) give(buf buffer) {
	if buf.bytes == nil {
		return
	}
	if b.pool.Held() <= b.pool.Most() { // else there are too many
		b.mu.Lock()
		b.free = append(b.free, buf.bytes)
		b.mu.Unlock()
	}
	buf.grant.Release()
}

// trim lets go of the buffers that nobody uses.
func (b *buffers) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = nil
}
