package embedded

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Parts are not synced: Complete copies them into the object and syncs that.
// A part could so be lost by a power cut between its answer and Complete, and
// with it the right to complete the upload. Therefore no upload outlives its
// server: see removeLeftovers.
//
// An upload's lock is held, by Complete and Abort alone and by parts together,
// while its folder changes. posix would make the folder again for a part that
// comes too late, and nobody would ever remove it; it would also call an
// upload completed that was aborted, if any object has the name. The lock is
// taken before the key's.

// beganAttribute is when an upload began, in RFC 3339. The time of its folder,
// which posix takes for it, changes with every part.
const beganAttribute = "larder-began"

// uploadFolder is the folder of an upload within the bucket, as posix has it.
func uploadFolder(key, id string) string {
	return filepath.Join(posix.MetaTmpMultipartDir, fmt.Sprintf("%x", sha256.Sum256([]byte(key))), id)
}

// uploadThere reports whether an upload can take parts.
func (b *bucket) uploadThere(key, id string) error {
	if id != filepath.Base(id) {
		return s3err.GetNoSuchUploadErr(id)
	}
	_, err := os.Stat(filepath.Join(b.path, uploadFolder(key, id)))
	if errors.Is(err, fs.ErrNotExist) {
		return s3err.GetNoSuchUploadErr(id)
	}
	return err
}

// CreateMultipartUpload begins an upload in parts.
func (b *bucket) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	if err := b.checkNew(in.Bucket, in.Key); err != nil {
		return s3response.InitiateMultipartUploadResult{}, err
	}
	in.Bucket = &b.path
	out, err := b.posix.CreateMultipartUpload(ctx, in)
	if err == nil {
		now := time.Now().UTC().Format(time.RFC3339)
		err = attributes{}.StoreAttribute(nil, b.path, uploadFolder(*in.Key, out.UploadId), beganAttribute, []byte(now))
	}
	out.Bucket = b.name
	return out, b.failed("create multipart upload", err)
}

// UploadPart keeps a part as long as the server runs.
func (b *bucket) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	if err := b.check(in.Bucket); err != nil {
		return nil, err
	}
	inner := *in
	inner.Bucket = &b.path
	lock, locked := b.uploads.of(*in.UploadId), false
	out, err := b.posix.UploadPartWithPostFunc(ctx, &inner, func(*os.File) error {
		lock.RLock()
		locked = true
		return b.uploadThere(*in.Key, *in.UploadId)
	})
	if locked {
		lock.RUnlock()
	}
	return out, b.failed("upload part", err)
}

// AbortMultipartUpload removes an upload and its parts.
func (b *bucket) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	if err := b.check(in.Bucket); err != nil {
		return err
	}
	if in.IfMatchInitiatedTime != nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	inner := *in
	inner.Bucket = &b.path
	lock := b.uploads.of(*in.UploadId)
	lock.Lock()
	defer lock.Unlock()
	if err := b.uploadThere(*in.Key, *in.UploadId); err != nil {
		return b.failed("abort multipart upload", err)
	}
	return b.failed("abort multipart upload", b.posix.AbortMultipartUpload(ctx, &inner))
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

// began is when an upload began.
func (b *bucket) began(upload s3response.Upload) time.Time {
	text, err := attributes{}.RetrieveAttribute(nil, b.path, uploadFolder(upload.Key, upload.UploadID), beganAttribute)
	if err != nil {
		return upload.Initiated
	}
	began, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return upload.Initiated
	}
	return began
}

// maxUploads is more than there ever are.
const maxUploads = 1 << 30

// ListMultipartUploads lists the uploads that were neither completed nor
// aborted, in the order of their keys and identifiers. posix finds them all;
// the pages are made here, since posix's own cannot go on within one key.
func (b *bucket) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.ListMultipartUploadsResult{}, err
	}
	if aws.ToString(in.Delimiter) != "" {
		return s3response.ListMultipartUploadsResult{}, s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	out, err := b.posix.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
		Bucket: &b.path, Prefix: in.Prefix, MaxUploads: aws.Int32(maxUploads),
	})
	if err != nil {
		return s3response.ListMultipartUploadsResult{}, b.failed("list multipart uploads", err)
	}
	out.Bucket = b.name
	out.KeyMarker, out.UploadIDMarker = aws.ToString(in.KeyMarker), aws.ToString(in.UploadIdMarker)
	out.MaxUploads = int(aws.ToInt32(in.MaxUploads))
	pageUploads(&out)
	for i, upload := range out.Uploads {
		out.Uploads[i].Initiated = b.began(upload)
	}
	return out, nil
}
