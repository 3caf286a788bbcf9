package disk

import "sync"

// behind are the chunks that wait to be written, in the order in which they came.
type behind struct {
	wake chan struct{} // holds a token while there may be something that the writer has not seen

	mu    sync.Mutex // guards the fields below
	most  int64      // bytes
	queue []*waiting
	slots map[uint64]*waiting // also the one that is being written
	bytes int64
}

// waiting is a chunk that waits.
type waiting struct {
	slot  uint64
	name  string
	bytes []byte
}

func newBehind(most int64) *behind {
	return &behind{most: most, wake: make(chan struct{}, 1), slots: map[uint64]*waiting{}}
}

// add adds a chunk, and reports whether there was room for it.
func (b *behind) add(w *waiting) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if was := b.slots[w.slot]; was != nil && was.name == w.name {
		return true
	}
	if b.bytes > 0 && b.bytes+int64(len(w.bytes)) > b.most {
		return false
	}
	b.queue = append(b.queue, w)
	b.slots[w.slot] = w
	b.bytes += int64(len(w.bytes))
	b.wakeWriter()
	return true
}

// resize sets how many bytes may wait, and wakes the writer. What waits already is written.
func (b *behind) resize(most int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = most
	b.wakeWriter()
}

func (b *behind) wakeWriter() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// next is the chunk to write, or nil. It waits until done.
func (b *behind) next() *waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.queue = nil
		return nil
	}
	w := b.queue[0]
	b.queue[0] = nil
	b.queue = b.queue[1:]
	return w
}

// done forgets a chunk that was written, or not.
func (b *behind) done(w *waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= int64(len(w.bytes))
	if b.slots[w.slot] == w {
		delete(b.slots, w.slot)
	}
}

// get returns a chunk that waits.
func (b *behind) get(slot uint64, name string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.slots[slot]
	if w == nil || w.name != name {
		return nil, false
	}
	return w.bytes, true
}

func (b *behind) has(slot uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots[slot] != nil
}
