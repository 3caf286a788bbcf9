package usage

import (
	"context"

	"larder/store"
)

// Store is what a Usage needs of the durable store.
type Store interface {
	Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error)
	Put(ctx context.Context, name string, w store.Write) (store.Head, error)
	Delete(ctx context.Context, name string) error
	List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error)
	// Traits tells which conditions the store holds by itself.
	Traits() store.Traits
}

// observedAs is what the store's metrics call the requests of this package.
const observedAs = "usage"

// apart is a store whose requests are not counted among those for callers.
type apart struct{ Store }

func (a apart) Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error) {
	return a.Store.Get(store.ObservedAs(ctx, observedAs), name, limit, alloc)
}

func (a apart) Put(ctx context.Context, name string, w store.Write) (store.Head, error) {
	return a.Store.Put(store.ObservedAs(ctx, observedAs), name, w)
}

func (a apart) Delete(ctx context.Context, name string) error {
	return a.Store.Delete(store.ObservedAs(ctx, observedAs), name)
}

func (a apart) List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error) {
	return a.Store.List(store.ObservedAs(ctx, observedAs), prefix, after, limit)
}
