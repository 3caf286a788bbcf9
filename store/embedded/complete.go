package embedded

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// assembly makes one object of the parts. Each part is removed when it has been
// copied: the disk never holds the object twice, and what of the part was not
// yet written to the disk need not be any more.
type assembly struct {
	publication
	missing int   // parts that have not been copied
	err     error // why the object must not be published
}

// add copies one part, and readies the object for its name after the last.
// posix takes no refusal: after an error it copies the part itself, and goes
// on. So the temporary file is removed, and posix cannot give it a name.
func (a *assembly) add(from, to *os.File) (repeatable bool, err error) {
	if a.err == nil {
		a.err = a.take(from, to)
		if a.err != nil {
			_ = os.Remove(to.Name())
		}
	}
	// posix removes the upload if it fails after this.
	return false, nil
}

func (a *assembly) take(from, to *os.File) error {
	if _, err := io.Copy(to, from); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
		}
		return err
	}
	if err := os.Remove(from.Name()); err != nil {
		return err
	}
	if a.missing--; a.missing > 0 {
		return nil
	}
	return a.staged()
}

// CompleteMultipartUpload makes one object of the parts. An upload that fails
// after its parts were touched is gone.
func (b *bucket) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	if err := b.check(in.Bucket); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	lock := b.uploads.of(*in.UploadId)
	lock.Lock()
	defer lock.Unlock()
	if err := b.uploadThere(*in.Key, *in.UploadId); err != nil {
		out, err := b.completed(in, err)
		return out, "", b.failed("complete multipart upload", err)
	}
	if in.MultipartUpload == nil || len(in.MultipartUpload.Parts) == 0 {
		return s3response.CompleteMultipartUploadResult{}, "", s3err.GetAPIError(s3err.ErrMalformedXML)
	}
	inner := *in
	inner.Bucket = &b.path
	a := assembly{
		publication: publication{bucket: b, key: *in.Key},
		missing:     len(in.MultipartUpload.Parts),
	}
	out, version, err := b.posix.CompleteMultipartUploadWithCopy(ctx, &inner, a.add)
	if a.err != nil {
		err = a.err
	}
	if err = a.end(b.isFolder(*in.Key, err)); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", b.failed("complete multipart upload", err)
	}
	out.Bucket = in.Bucket
	return out, version, nil
}

// completed answers for an upload that is not there: as the first time, if it
// is the one that made the object which has the name.
func (b *bucket) completed(in *s3.CompleteMultipartUploadInput, absent error) (s3response.CompleteMultipartUploadResult, error) {
	lock := b.keys.of(*in.Key)
	lock.RLock()
	defer lock.RUnlock()
	made, err := attributes{}.RetrieveAttribute(nil, b.path, *in.Key, madeOfAttribute)
	if errors.Is(err, meta.ErrNoSuchKey) || errors.Is(err, os.ErrNotExist) || errors.Is(err, notFolder) {
		return s3response.CompleteMultipartUploadResult{}, absent
	}
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, err
	}
	upload, err := backend.UnmarshalMpUploadMetadata(made, false)
	if err != nil || upload.UploadID != *in.UploadId {
		return s3response.CompleteMultipartUploadResult{}, errors.Join(absent, err)
	}
	etag, err := attributes{}.RetrieveAttribute(nil, b.path, *in.Key, etagAttribute)
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, err
	}
	version := string(etag)
	return s3response.CompleteMultipartUploadResult{Bucket: in.Bucket, Key: in.Key, ETag: &version}, nil
}
