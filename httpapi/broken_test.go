package httpapi

import (
	"context"
	"slices"

	"larder/fill"
	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
	"larder/writepath"
)

// broken is a read and write path that fails in every way asked of it.
type broken struct{ fail func() error }

func (b broken) Open(context.Context, keys.Key, fill.Options) (*fill.Object, error) {
	return nil, b.fail()
}

func (broken) Ready(keys.Key, string) (fill.Ready, bool) { return fill.Ready{}, false }

func (broken) Gather(_ context.Context, ks []keys.Key) []fill.Found {
	return make([]fill.Found, len(ks))
}

func (b broken) Stat(context.Context, keys.Key, fill.Options) (store.Head, chunks.Source, error) {
	return store.Head{}, "", b.fail()
}

func (b broken) Put(context.Context, keys.Key, store.Head, []byte, writepath.Conditions) (writepath.Result, error) {
	return writepath.Result{}, b.fail()
}

func (b broken) PutLarge(context.Context, keys.Key, writepath.Upload) (writepath.Result, error) {
	return writepath.Result{}, b.fail()
}

func (b broken) Delete(context.Context, keys.Key, string, []string) error { return b.fail() }

func (b broken) Drop(_ context.Context, _ writepath.Drop, ks []keys.Key) []writepath.Dropped {
	return slices.Repeat([]writepath.Dropped{{Err: b.fail()}}, len(ks))
}

func (b broken) List(context.Context, string, string, int) ([]store.Entry, bool, error) {
	return nil, false, b.fail()
}

func (b broken) Authenticate(context.Context, auth.Credential) (auth.Principal, error) {
	return auth.Principal{Org: "acme", User: "ada", Role: auth.Writer}, nil
}

func (broken) Known(string) (auth.Principal, bool) { return auth.Principal{}, false }
