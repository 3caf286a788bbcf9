package simulation

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"larder/fill"
	"larder/httpapi"
	"larder/store"
	"larder/writepath"
)

var (
	_ fill.Store      = (*door)(nil)
	_ writepath.Store = (*door)(nil)
	_ httpapi.Lister  = (*door)(nil)
)

// Traits are S3's own.
func (*door) Traits() store.Traits {
	return store.Traits{
		Sure: true, PutIfAbsent: true, PutIfMatch: true, CompleteIfAbsent: true, CompleteIfMatch: true,
		CompleteVersion: true, AbortKeeps: true, UploadsByPrefix: true,
	}
}

// Get implements store.Store.
func (d *door) Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (h store.Head, b []byte, err error) {
	var o object
	if o, err = d.read(ctx, name); err != nil {
		return h, nil, err
	}
	n := min(limit, o.head.Size)
	if alloc == nil {
		b = make([]byte, n)
	} else if b, err = alloc(n); err != nil {
		return h, nil, err
	}
	copy(b, o.bytes)
	return summed(o.head, b), b, nil
}

// read is the object as it is at one moment.
func (d *door) read(ctx context.Context, name string) (o object, err error) {
	err = d.request(ctx, false, func() (err error) {
		o, err = d.bucket.get(name)
		return err
	})
	return o, err
}

func summed(h store.Head, b []byte) store.Head {
	sum := sha256.Sum256(b)
	h.Sum = &sum
	return h
}

// GetRange implements store.Store.
func (d *door) GetRange(ctx context.Context, name, version string, off, n int64) (store.Head, []byte, error) {
	o, err := d.read(ctx, name)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && o.head.Version != version:
		return store.Head{}, nil, store.ErrPrecondition
	case err != nil:
		return store.Head{}, nil, err
	case off+n > o.head.Size:
		return store.Head{}, nil, store.ErrUnexpected
	}
	b := slices.Clone(o.bytes[off : off+n])
	return summed(o.head, b), b, nil
}

// Head implements store.Store.
func (d *door) Head(ctx context.Context, name string) (store.Head, error) {
	o, err := d.read(ctx, name)
	return o.head, err
}

// Put implements store.Store.
func (d *door) Put(ctx context.Context, name string, w store.Write) (h store.Head, err error) {
	w.Body = slices.Clone(w.Body)
	err = d.request(ctx, true, func() (err error) {
		h, err = d.bucket.put(name, w)
		return err
	})
	if err != nil {
		return store.Head{}, err
	}
	return h, nil
}

// Delete implements store.Store.
func (d *door) Delete(ctx context.Context, name string) error {
	return d.request(ctx, true, func() error { delete(d.bucket.objects, name); return nil })
}

// DeleteMany implements store.Store.
func (d *door) DeleteMany(ctx context.Context, names []string) []error {
	errs := make([]error, len(names))
	err := d.request(ctx, true, func() error {
		for _, name := range names {
			delete(d.bucket.objects, name)
		}
		return nil
	})
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// DeleteVersion implements writepath.Store.
func (d *door) DeleteVersion(ctx context.Context, name, version string) error {
	return d.request(ctx, true, func() error {
		if err := d.bucket.hold(name, store.Conditions{IfMatch: version}); err != nil {
			return err
		}
		delete(d.bucket.objects, name)
		return nil
	})
}

// List implements store.Store.
func (d *door) List(ctx context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error) {
	err = d.request(ctx, false, func() error { entries, more = d.bucket.list(prefix, after, limit); return nil })
	return entries, more, err
}

// Sums reads the list of digests of this name.
func (d *door) Sums(ctx context.Context, name string) (store.Sums, error) {
	o, err := d.read(ctx, name)
	if err != nil {
		return store.Sums{}, err
	}
	return store.ParseSums(o.bytes)
}

// Begin implements store.Uploads.
func (d *door) Begin(ctx context.Context, name string, h store.Head) (u store.Upload, err error) {
	err = d.request(ctx, false, func() error { u = d.bucket.begin(name, h); return nil })
	return u, err
}

// Part implements store.Uploads.
func (d *door) Part(ctx context.Context, u store.Upload, n int, body []byte) (store.Part, error) {
	body = slices.Clone(body)
	err := d.request(ctx, false, func() error {
		up := d.bucket.uploads[u.ID]
		if up == nil {
			return store.ErrNotFound
		}
		up.parts[n] = body
		return nil
	})
	return store.Part{Number: n, Tag: etag(body), Size: int64(len(body))}, err
}

// Complete implements store.Uploads.
func (d *door) Complete(ctx context.Context, u store.Upload, parts []store.Part, c store.Conditions) (h store.Head, err error) {
	err = d.request(ctx, true, func() (err error) {
		h, err = d.bucket.complete(u, parts, c)
		return err
	})
	if err != nil {
		return store.Head{}, err
	}
	return h, nil
}

// Abort implements store.Uploads.
func (d *door) Abort(ctx context.Context, u store.Upload) error {
	return d.request(ctx, false, func() error { delete(d.bucket.uploads, u.ID); return nil })
}

// Abandoned implements store.Uploads.
func (d *door) Abandoned(ctx context.Context, prefix string, before time.Time) (all []store.Upload, err error) {
	err = d.request(ctx, false, func() error {
		for _, u := range d.bucket.uploads {
			if strings.HasPrefix(u.Name, prefix) && u.Began.Before(before) {
				all = append(all, u.Upload)
			}
		}
		return nil
	})
	return all, err
}
