package embedded

import (
	"context"
	"io/fs"
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
	lock := b.keys.of(*in.Key)
	lock.RLock()
	defer lock.RUnlock()
	out, err := b.posix.GetObject(ctx, &inner)
	return out, b.failed("get object", err)
}

// HeadObject is GetObject without the bytes.
func (b *bucket) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	if err := b.check(in.Bucket); err != nil {
		return nil, err
	}
	inner := *in
	inner.Bucket = &b.path
	lock := b.keys.of(*in.Key)
	lock.RLock()
	defer lock.RUnlock()
	out, err := b.posix.HeadObject(ctx, &inner)
	return out, b.failed("head object", err)
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

// ListObjectsV2 lists objects in the order of their keys. posix says that
// there are more when there are more in the folder, whether or not they have
// the prefix; one more than was asked for shows how it is.
func (b *bucket) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	inner, limit := *in, int(aws.ToInt32(in.MaxKeys))
	inner.Bucket = &b.path
	exact := limit > 0 && aws.ToString(in.Delimiter) == ""
	if exact {
		inner.MaxKeys = aws.Int32(int32(limit) + 1)
	}
	out, err := b.posix.ListObjectsV2Parametrized(ctx, &inner, b.entries)
	if err != nil {
		return s3response.ListObjectsV2Result{}, b.failed("list objects", err)
	}
	if exact {
		cut(&out, limit)
	}
	out.Name = &b.name
	out.MaxKeys = in.MaxKeys
	return out, nil
}

func cut(out *s3response.ListObjectsV2Result, limit int) {
	more := len(out.Contents) > limit
	out.IsTruncated = &more
	out.NextContinuationToken = nil
	if more {
		out.Contents = out.Contents[:limit]
		out.NextContinuationToken = out.Contents[limit-1].Key
	}
	out.KeyCount = aws.Int32(int32(len(out.Contents)))
}

// entries reads one entry of a listing at a time under its key's lock, so that
// its ETag and size belong together.
func (b *bucket) entries(path string, owner bool) backend.GetObjFunc {
	entry := b.posix.FileToObj(path, owner)
	return func(key string, d fs.DirEntry) (s3response.Object, error) {
		lock := b.keys.of(key)
		lock.RLock()
		defer lock.RUnlock()
		return entry(key, d)
	}
}
