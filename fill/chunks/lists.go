package chunks

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"larder/budget"
	"larder/fill/tier"
	"larder/keys"
	"larder/store"
)

const (
	// listLimit bounds the reading of a list: bytes that are here wait for it. After
	// one that failed none is read for listRest.
	listLimit = 2 * time.Second
	listRest  = 10 * time.Second
	// leastLists is how many bytes of lists are kept beside a small tier.
	leastLists = 1 << 20
)

// lists are the digests of the chunks of large objects, as their writers left
// them in the store. Each is read once, and kept while it is used. It is safe for
// concurrent use.
type lists struct {
	store   Store
	chunk   int64
	flights tier.Flights[store.Sums]

	mu   sync.Mutex                     // guards the fields below
	kept *tier.FIFO[string, store.Sums] // by place; without digests if there is no such list
	rest time.Time                      // no list is read before
}

func newLists(cfg Config, st Store) *lists {
	return &lists{store: st, chunk: cfg.ChunkSize, kept: tier.NewFIFO(listMemory(cfg.Plan), listSize, nil)}
}

// listMemory is how many bytes of lists are kept.
func listMemory(plan budget.Plan) int64 { return max(plan.Digests, leastLists) }

func (l *lists) resize(plan budget.Plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Resize(listMemory(plan))
}

// listSize is about what a list takes of memory.
func listSize(place string, s store.Sums) int64 {
	return int64(len(place) + 256 + len(s.Digests)*sha256.Size)
}

// digest is the SHA-256 of a chunk, if its object has a list that tells. Of an object
// that has another size than the one that was written, no chunk is right: then it
// is a digest that no bytes have.
func (l *lists) digest(ctx context.Context, c Chunk) (sum [sha256.Size]byte, known bool) {
	s, ok := l.of(ctx, c)
	switch {
	case !ok || s.Piece != l.chunk || s.Name != c.key.Place():
		return sum, false
	case s.Size != c.size || c.n >= len(s.Digests):
		return sum, true
	}
	return s.Digests[c.n], true
}

// of is the list of a chunk's object: one that is kept, or the store's.
func (l *lists) of(ctx context.Context, c Chunk) (store.Sums, bool) {
	if !store.IsWriteName(c.version.Write) {
		return store.Sums{}, false
	}
	place := keys.Sums(c.key.Org, c.version.Write)
	l.mu.Lock()
	s, ok := l.kept.Get(place)
	rests := time.Now().Before(l.rest)
	l.mu.Unlock()
	if !ok {
		if rests {
			return store.Sums{}, false
		}
		var err error
		if s, err = l.flights.Do(place, func() (store.Sums, error) { return l.read(ctx, place) }); err != nil {
			return store.Sums{}, false
		}
	}
	return s, len(s.Digests) > 0
}

// read reads a list, and keeps it. That there is none, or one that cannot be
// read, is kept as well: the list is written before its object.
func (l *lists) read(ctx context.Context, place string) (store.Sums, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	s, err := l.store.Sums(ctx, place)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnexpected):
		s = store.Sums{}
	case err != nil:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rest = time.Now().Add(listRest)
		return s, err
	}
	l.keep(place, s)
	return s, nil
}

func (l *lists) keep(place string, s store.Sums) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Add(place, s)
}
