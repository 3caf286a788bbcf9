package embedded

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3response"
)

// CreateMultipartUpload begins an upload in parts.
func (b *bucket) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	if err := b.checkNew(in.Bucket, in.Key); err != nil {
		return s3response.InitiateMultipartUploadResult{}, err
	}
	in.Bucket = &b.path
	out, err := b.posix.CreateMultipartUpload(ctx, in)
	out.Bucket = b.name
	return out, b.failed("create multipart upload", err)
}

// UploadPart keeps a part, durably like everything that is acknowledged.
func (b *bucket) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	if err := b.check(in.Bucket); err != nil {
		return nil, err
	}
	inner := *in
	inner.Bucket = &b.path
	out, err := b.posix.UploadPart(ctx, &inner)
	if err == nil {
		err = b.disk.wait()
	}
	return out, b.failed("upload part", err)
}

// AbortMultipartUpload removes an upload and its parts.
func (b *bucket) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	if err := b.check(in.Bucket); err != nil {
		return err
	}
	inner := *in
	inner.Bucket = &b.path
	return b.failed("abort multipart upload", b.posix.AbortMultipartUpload(ctx, &inner))
}

// ListMultipartUploads lists the uploads that were neither completed nor
// aborted.
func (b *bucket) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.ListMultipartUploadsResult{}, err
	}
	inner := *in
	inner.Bucket = &b.path
	out, err := b.posix.ListMultipartUploads(ctx, &inner)
	out.Bucket = b.name
	return out, b.failed("list multipart uploads", err)
}

// ListParts lists the parts of one upload.
func (b *bucket) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.ListPartsResult{}, err
	}
	inner := *in
	inner.Bucket = &b.path
	out, err := b.posix.ListParts(ctx, &inner)
	out.Bucket = b.name
	return out, b.failed("list parts", err)
}
