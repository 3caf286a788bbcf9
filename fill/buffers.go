package fill

import (
	"sync"

	"larder/budget"
)

// buffers are those of relays that are not in use.
type buffers struct {
	few, piece, whole *sync.Pool // of budget.FreeLen, relayPiece and chunkSize bytes
	chunkSize         int64
}

// buffer is one that is in use.
type buffer struct {
	bytes []byte
	pool  *sync.Pool // nil if nobody will use it again
}

func newBuffers(chunkSize int64) buffers {
	pool := func(n int64) *sync.Pool {
		p := &sync.Pool{}
		p.New = func() any { return &buffer{make([]byte, n), p} }
		return p
	}
	return buffers{few: pool(budget.FreeLen), piece: pool(relayPiece), whole: pool(chunkSize), chunkSize: chunkSize}
}

// get returns a buffer of at least n bytes; of exactly n where n is charged to a
// budget, so that the charge is true.
func (b buffers) get(n int64) *buffer {
	switch {
	case n <= budget.FreeLen:
		return b.few.Get().(*buffer)
	case n == relayPiece:
		return b.piece.Get().(*buffer)
	case n == b.chunkSize:
		return b.whole.Get().(*buffer)
	}
	return &buffer{bytes: make([]byte, n)}
}

// release gives the buffer back. A nil buffer is released any time.
func (b *buffer) release() {
	if b != nil && b.pool != nil {
		b.pool.Put(b)
	}
}
