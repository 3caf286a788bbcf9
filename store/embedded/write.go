package embedded

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"golang.org/x/sync/errgroup"
)

const etagAttribute = "etag"

// publication takes a written file's name from the object that is there. The
// data is synced first: a file system may write the new name before the data,
// and a power cut in between would leave an object of zeros, in the place of
// one that had been acknowledged.
type publication struct {
	bucket *bucket
	key    string
	lock   *sync.RWMutex // held from staged to end, nil before
}

// staged is called when all the data has been written to the temporary file.
func (p *publication) staged() error {
	if err := p.bucket.disk.wait(); err != nil {
		return err
	}
	p.lock = p.bucket.keys.of(p.key)
	p.lock.Lock()
	return nil
}

// end is called when the file has its name, or cannot get it.
func (p *publication) end(err error) error {
	if p.lock != nil {
		defer p.lock.Unlock()
		defer p.bucket.index.update(p.key) // whatever has become of it
	}
	if err != nil {
		return err
	}
	return p.bucket.disk.wait()
}

// PutObject writes an object whole.
func (b *bucket) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := b.checkNew(in.Bucket, in.Key); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	in.Bucket = &b.path
	p := publication{bucket: b, key: *in.Key}
	out, err := b.posix.PutObjectWithPostFunc(ctx, in, func(*os.File) error { return p.staged() })
	if err = p.end(b.isFolder(*in.Key, err)); err != nil {
		discard(in.Body)
		return s3response.PutObjectOutput{}, b.failed("put object", err)
	}
	return out, nil
}

// discard reads a body to its end that was refused before it was read, a failed
// condition for example: a connection that is closed on a client which still
// writes looks to it like an unknown outcome.
func discard(body io.Reader) {
	if body != nil {
		_, _ = io.Copy(io.Discard, body) // the refusal is what counts
	}
}

// isFolder finds out whether posix is right when it says that a folder is in
// the way, since it says so whatever goes wrong with the new name.
func (b *bucket) isFolder(key string, err error) error {
	if !errors.Is(err, s3err.GetAPIError(s3err.ErrExistingObjectIsDirectory)) {
		return err
	}
	name := filepath.Join(b.path, key)
	if info, statErr := os.Stat(name); statErr == nil && info.IsDir() {
		return err
	}
	for parent := filepath.Dir(name); parent != b.path; parent = filepath.Dir(parent) {
		if info, statErr := os.Stat(parent); statErr == nil && !info.IsDir() {
			return err
		}
	}
	b.log.Error().Msg("the embedded store cannot give an object its name")
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// DeleteObject removes an object. It leaves the folders, which posix would
// remove, so that none disappears under a write that is about to use it.
func (b *bucket) DeleteObject(_ context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	if err := b.check(in.Bucket); err != nil {
		return nil, err
	}
	p := publication{bucket: b, key: *in.Key, lock: b.keys.of(*in.Key)}
	p.lock.Lock()
	if err := p.end(b.remove(in)); err != nil {
		return nil, b.failed("delete object", err)
	}
	return &s3.DeleteObjectOutput{}, nil
}

func (b *bucket) remove(in *s3.DeleteObjectInput) error {
	name := filepath.Join(b.path, *in.Key)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, notFolder) || (err == nil && info.IsDir()) {
		return nil
	}
	if err != nil {
		return err
	}
	etag, err := attributes{}.RetrieveAttribute(nil, b.path, *in.Key, etagAttribute)
	if err != nil && !errors.Is(err, meta.ErrNoSuchKey) {
		return err
	}
	err = backend.EvaluateObjectDeletePreconditions(string(etag), info.ModTime(), info.Size(), backend.ObjectDeletePreconditions{
		IfMatch:            in.IfMatch,
		IfMatchLastModTime: in.IfMatchLastModifiedTime,
		IfMatchSize:        in.IfMatchSize,
	})
	if err != nil {
		return err
	}
	return os.Remove(name)
}

// deletesAtOnce is how many objects of a request are removed at once, so that they wait for the
// disk together.
const deletesAtOnce = 64

// DeleteObjects removes several.
func (b *bucket) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	errs := make([]error, len(in.Delete.Objects))
	var all errgroup.Group
	all.SetLimit(deletesAtOnce)
	for i, object := range in.Delete.Objects {
		if object.Key == nil {
			errs[i] = s3err.GetAPIError(s3err.ErrMalformedXML)
			continue
		}
		all.Go(func() error {
			_, errs[i] = b.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: in.Bucket, Key: object.Key, IfMatch: object.ETag})
			return nil
		})
	}
	_ = all.Wait() // errs has each
	var result s3response.DeleteResult
	for i, object := range in.Delete.Objects {
		if errs[i] != nil {
			result.Error = append(result.Error, s3err.ObjectDeleteError(object.Key, nil, errs[i]))
			continue
		}
		result.Deleted = append(result.Deleted, types.DeletedObject{Key: object.Key})
	}
	return result, nil
}
