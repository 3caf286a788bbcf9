package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3response"
)

const notFolder = syscall.ENOTDIR

// GetObject opens an object. What is read from it afterwards is that write's,
// whatever takes its name meanwhile.
func (b *bucket) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	if err := b.check(in.Bucket); err != nil {
		return nil, err
	}
	inner := *in
	inner.Bucket = &b.path
	open := func() (*s3.GetObjectOutput, error) {
		lock := b.keys.of(*in.Key)
		lock.RLock()
		defer lock.RUnlock()
		return b.posix.GetObject(ctx, &inner)
	}
	out, err := open()
	if err == nil && aws.ToString(out.ETag) == "" && b.tag(*in.Key) {
		_ = out.Body.Close() // of what was not read
		out, err = open()
	}
	return out, b.failed("get object", err)
}

// HeadObject is GetObject without the bytes.
func (b *bucket) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	if err := b.check(in.Bucket); err != nil {
		return nil, err
	}
	inner := *in
	inner.Bucket = &b.path
	look := func() (*s3.HeadObjectOutput, error) {
		lock := b.keys.of(*in.Key)
		lock.RLock()
		defer lock.RUnlock()
		return b.posix.HeadObject(ctx, &inner)
	}
	out, err := look()
	if err == nil && aws.ToString(out.ETag) == "" && b.tag(*in.Key) {
		out, err = look()
	}
	return out, b.failed("head object", err)
}

// tag gives an ETag to a file that came into the folder by other means and has
// none, so that its bytes are never taken for those of another such file. It
// reports whether the file is worth another look.
func (b *bucket) tag(key string) bool {
	lock := b.keys.of(key)
	lock.Lock()
	defer lock.Unlock()
	if etag, err := (attributes{}).RetrieveAttribute(nil, b.path, key, etagAttribute); err == nil && len(etag) > 0 {
		return true
	}
	if info, err := os.Lstat(filepath.Join(b.path, key)); err != nil || !info.Mode().IsRegular() {
		return false
	}
	err := (attributes{}).StoreAttribute(nil, b.path, key, etagAttribute, []byte(strings.ToLower(rand.Text())))
	if err != nil {
		b.log.Warn().Err(err).Str("key", key).Msg("a file that came into the folder by other means has no ETag and cannot be given one")
	}
	return err == nil
}

// ListObjects is the older form of ListObjectsV2.
func (b *bucket) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.ListObjectsResult{}, err
	}
	inner := *in
	inner.Bucket = &b.path
	out, err := b.posix.ListObjectsParametrized(ctx, &inner, b.entries)
	out.Name = &b.name
	return out, b.failed("list objects", err)
}

// ListObjectsV2 lists objects in the order of their keys. posix reads the whole
// folder for each page, and is asked only for what Larder never wants.
func (b *bucket) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	if aws.ToInt32(in.MaxKeys) > 0 && aws.ToString(in.Delimiter) == "" {
		out, err := b.listed(in)
		return out, b.failed("list objects", err)
	}
	inner := *in
	inner.Bucket = &b.path
	out, err := b.posix.ListObjectsV2Parametrized(ctx, &inner, b.entries)
	out.Name = &b.name
	return out, b.failed("list objects", err)
}

// listed is a page out of the index. One object more than was asked for shows
// whether there are more.
func (b *bucket) listed(in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	limit, prefix := int(*in.MaxKeys), aws.ToString(in.Prefix)
	after := max(aws.ToString(in.StartAfter), aws.ToString(in.ContinuationToken))
	entry := b.entries(b.path, aws.ToBool(in.FetchOwner))
	objects := []s3response.Object{}
	for len(objects) <= limit {
		keys, err := b.index.page(prefix, after, limit+1-len(objects))
		if err != nil {
			return s3response.ListObjectsV2Result{}, err
		}
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			object, err := entry(key, file(filepath.Join(b.path, key)))
			if err == nil {
				objects = append(objects, object)
			} else if !errors.Is(err, backend.ErrSkipObj) { // removed meanwhile
				return s3response.ListObjectsV2Result{}, err
			}
		}
		after = keys[len(keys)-1]
	}
	more := len(objects) > limit
	out := s3response.ListObjectsV2Result{
		Name: &b.name, Prefix: in.Prefix, StartAfter: in.StartAfter, ContinuationToken: in.ContinuationToken,
		MaxKeys: in.MaxKeys, IsTruncated: &more,
	}
	if more {
		objects = objects[:limit]
		out.NextContinuationToken = objects[limit-1].Key
	}
	out.Contents, out.KeyCount = objects, aws.Int32(int32(len(objects))) //nolint:gosec // at most MaxKeys
	return out, nil
}

// file is the path of a file, as an entry of its folder that is looked at when
// it is asked for more than its name.
type file string

// Name implements fs.DirEntry, as do the others.
func (f file) Name() string { return filepath.Base(string(f)) }

// IsDir is false: the index has no folders.
func (f file) IsDir() bool { return false }

// Type is that of a regular file.
func (f file) Type() fs.FileMode { return 0 }

// Info looks at the file.
func (f file) Info() (fs.FileInfo, error) { return os.Lstat(string(f)) }

// entries reads one entry of a listing at a time under its key's lock, so that
// its ETag and size belong together.
func (b *bucket) entries(path string, owner bool) backend.GetObjFunc {
	entry := b.posix.FileToObj(path, owner)
	look := func(key string, d fs.DirEntry) (s3response.Object, error) {
		lock := b.keys.of(key)
		lock.RLock()
		defer lock.RUnlock()
		return entry(key, d)
	}
	return func(key string, d fs.DirEntry) (s3response.Object, error) {
		object, err := look(key, d)
		if err == nil && aws.ToString(object.ETag) == "" && b.tag(key) {
			return look(key, d)
		}
		return object, err
	}
}
