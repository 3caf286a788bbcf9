package chunks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"larder/budget"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// read reads a chunk from the store, and compares it with its digest. If the bytes are
// not those of the head it tries once more: under overwrite some servers answer with
// the head of one version and the bytes of another.
func (s *Chunks) read(c Chunk) (b []byte, err error) {
	err = s.Bounded(context.Background(), c.key, func(ctx context.Context) error {
		grant, err := s.loads.Take(ctx, c.key.Org, c.length)
		if err != nil {
			return fmt.Errorf("get %s: %w", c.key, err)
		}
		defer grant.Release()
		if b, err = s.readRange(ctx, c); errors.Is(err, errDigest) {
			b, err = s.readRange(ctx, c)
		}
		return err
	})
	return b, err
}

// readRange is one try of read. What is there under the chunk's ETag may be
// another write's: then the version is gone.
func (s *Chunks) readRange(ctx context.Context, c Chunk) ([]byte, error) {
	h, b, err := s.store.GetRange(ctx, c.key.Place(), c.version.ETag, int64(c.n)*s.size, c.length)
	gone := errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotFound)
	if gone || err == nil && (!h.Is(c.version.ETag, c.version.Write) || h.Size != c.size) {
		s.heads.DropVersion(c.key, c.version)
		return nil, fmt.Errorf("get %s version %s: %w", c.key, c.version.ETag, store.ErrPrecondition)
	}
	if err != nil {
		return nil, err
	}
	if err := c.isLong(b); err != nil {
		return nil, err
	}
	sum := h.Sum
	h.Sum = nil
	if last, ok := s.heads.Last(c.key); c.n == 0 && (!ok || VersionOf(last) != c.version) { // as in withHead
		s.heads.Remember(c.key, heads.Of(h, time.Now()))
	}
	return b, s.digests.check(ctx, s.withDigest(c, h), b, sum, S3)
}

// ReadFirst reads the head of a key and the first chunk of its version in one
// request, and compares the chunk with its digest. Memory is taken as soon as the
// chunk's length is known. If it has to be waited for, the store is let go meanwhile,
// whose patience with a client who reads nothing is short, and is asked again. Like
// read it tries once more.
func (s *Chunks) ReadFirst(ctx context.Context, k keys.Key, user string) (store.Head, Data, error) {
	h, d, err := s.readFirst(ctx, k, user)
	if errors.Is(err, errDigest) {
		h, d, err = s.readFirst(ctx, k, user)
	}
	return h, d, err
}

func (s *Chunks) readFirst(ctx context.Context, k keys.Key, user string) (h store.Head, d Data, err error) {
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	first := id{k, 0}
	for held, lacks := int64(0), int64(1); lacks > 0; {
		lacks = 0
		h, d.View, err = s.store.Get(ctx, k.Place(), s.size, func(n int64) ([]byte, error) {
			if n > held {
				d.pin.Release()
				var ok bool
				if d.pin, ok = s.streams.HoldAtOnce(user, first, n); !ok {
					held, lacks = 0, n
					return nil, budget.ErrBusy
				}
				held = n
			}
			return make([]byte, n), nil
		})
		if lacks > 0 {
			if d.pin, err = s.streams.Hold(ctx, user, first, lacks); err != nil {
				return h, d, err
			}
			held = lacks
		}
	}
	if err != nil {
		return h, d, err
	}
	sum := h.Sum
	h.Sum, d.Source = nil, S3
	return h, d, s.digests.check(ctx, s.Of(k, h, 0), d.View, sum, S3)
}
