package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// completeTimeout bounds Complete, which S3 may take long to answer: it sends
// white space meanwhile to keep the connection.
const completeTimeout = 60 * time.Second

// Begin implements Uploads. The checksums of the parts are CRC-32C: hardware
// computes it at memory speed on both sides, where SHA-256 costs as much as
// all the rest of sending a part. It must be named here, since S3 refuses a
// part's checksum of another kind.
func (s *S3) Begin(ctx context.Context, name string, h Head) (Upload, error) {
	head, err := fillIn(h)
	if err != nil {
		return Upload{}, fmt.Errorf("begin upload of %s: %w", name, err)
	}
	if head.Digest != "" {
		if _, err := digestBytes(head.Digest); err != nil {
			return Upload{}, fmt.Errorf("begin upload of %s: %w", name, err)
		}
	}
	metadata, err := toMetadata(head, s.Traits())
	if err != nil {
		return Upload{}, fmt.Errorf("begin upload of %s: %w", name, err)
	}
	u := Upload{Name: name, Began: time.Now().UTC().Truncate(time.Second), Head: head}
	err = s.read(ctx, "begin", func(ctx context.Context, _ func()) error {
		in := &s3.CreateMultipartUploadInput{
			Bucket:      &s.bucket,
			Key:         s.object(name),
			ContentType: &head.ContentType,
			Metadata:    metadata,
		}
		in.ServerSideEncryption, in.SSEKMSKeyId = s.cfg.encryption()
		if s.checksums.inUploads() {
			in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
		}
		out, err := s.client.CreateMultipartUpload(ctx, in)
		if err != nil {
			return err
		}
		if u.ID = aws.ToString(out.UploadId); u.ID == "" {
			return fmt.Errorf("%w: an answer without an upload", errUnreadable)
		}
		s.checksums.begin.proved(in.ChecksumAlgorithm != "")
		return nil
	})
	if err != nil {
		return Upload{}, fmt.Errorf("begin upload of %s: %w", name, err)
	}
	return u, nil
}

// Complete implements Uploads. A server that answers nothing of use may have
// made the object all the same, so it is asked what is there.
func (s *S3) Complete(ctx context.Context, u Upload, parts []Part, c Conditions) (Head, error) {
	head := u.Head
	for _, part := range parts {
		head.Size += part.Size
	}
	version, err := s.complete(ctx, u, parts, c)
	switch {
	case err == nil && version != "" && s.Traits().CompleteVersion:
		head.Version = version
	case err == nil:
		head, err = s.completed(ctx, u.Name, head)
	case errors.Is(err, errFailed), errors.Is(err, errNoUpload): // which a proxy is told that sent it twice
		head, err = s.afterFailure(ctx, u, head, err)
	}
	if err = c.absent(err); err != nil {
		return Head{}, fmt.Errorf("complete upload of %s: %w", u.Name, err)
	}
	return head, nil
}

// complete is the request of Complete. The ETag of the answer is empty if the
// server has sent none.
func (s *S3) complete(ctx context.Context, u Upload, parts []Part, c Conditions) (version string, err error) {
	for i, part := range parts {
		if i > 0 && part.Number <= parts[i-1].Number {
			return "", fmt.Errorf("%w: part %d is out of order", ErrUnexpected, part.Number)
		}
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: &s.bucket, Key: s.object(u.Name), UploadId: &u.ID}
	in.IfMatch, in.IfNoneMatch = c.headers()
	err = s.write(ctx, "complete", completeTimeout, func(ctx context.Context, _ func()) error {
		checked := s.checksums.complete.sent()
		in.MultipartUpload = &types.CompletedMultipartUpload{Parts: listed(parts, checked)}
		out, err := s.client.CompleteMultipartUpload(ctx, in, s.repeats.with(s.cfg))
		if err != nil {
			return completeError(err)
		}
		s.checksums.complete.proved(checked)
		version = unquoted(out.ETag)
		return nil
	})
	return version, err
}

// listed is what a completion says of the parts, with their checksums or without.
func listed(parts []Part, checked bool) []types.CompletedPart {
	all := make([]types.CompletedPart, 0, len(parts))
	for _, part := range parts {
		done := types.CompletedPart{
			PartNumber: aws.Int32(int32(part.Number)), //nolint:gosec // 10,000 at most
			ETag:       quoted(part.Tag),
		}
		if checked && part.Checksum != "" {
			done.ChecksumCRC32C = &part.Checksum
		}
		all = append(all, done)
	}
	return all
}

// errFailed says that the server has answered that it could not complete an
// upload, and is not at work on it any more.
var errFailed = fmt.Errorf("%w: the upload was not completed", ErrUnavailable)

// completeError tells an answer of failure apart from none. S3 may send an error
// with the status 200, which it had to choose before it knew; the SDK makes 500
// of that. It may also break off what it answers.
func completeError(err error) error {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	switch {
	case ok && answer.HTTPStatusCode() == http.StatusOK:
		text := "S3 answers 200 with something that cannot be read"
		return &failure{is: []error{errFailed}, text: text, words: err.Error(), status: http.StatusOK}
	case !ok || answer.HTTPStatusCode() != http.StatusInternalServerError:
		return err
	}
	code, message := "", err.Error()
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	f := &failure{is: []error{errFailed}, words: message, status: http.StatusInternalServerError, code: code}
	if isClientFault(code) {
		f.is, f.status = []error{byCode(http.StatusBadRequest, code, message)}, http.StatusBadRequest
	}
	f.text = strings.TrimSpace("S3 answers " + strconv.Itoa(f.status) + " " + code)
	return f
}

// isClientFault reports whether a code is one of those that S3 documents for
// completing an upload and that no try again mends.
func isClientFault(code string) bool {
	switch code {
	case "EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest", "BadDigest", "NoSuchUpload", "PreconditionFailed",
		"ConditionalRequestConflict", "AccessDenied", "NoSuchKey", "MalformedXML", "NotImplemented":
		return true
	}
	return false
}

// completed is the head of an upload that was completed, with the version that
// the object has.
func (s *S3) completed(ctx context.Context, name string, want Head) (Head, error) {
	got, err := s.Head(ctx, name)
	switch {
	case err != nil:
		return Head{}, fmt.Errorf("%w: the object is not seen after its upload was completed: %s", ErrUnavailable, err.Error())
	case !sameWrite(got, want):
		return Head{}, fmt.Errorf("%w: another object is seen after the upload was completed", ErrUnavailable)
	}
	want.Version = got.Version
	return want, nil
}

// sameWrite reports whether the object that is there is the one that was to be
// written. What the writer left open does not count: some servers keep the
// metadata of the object before.
func sameWrite(there, written Head) bool {
	return there.Version != "" && there.Size == written.Size && there.Modified.Equal(written.Modified) &&
		(written.Write == "" || there.Write == written.Write) &&
		(written.Digest == "" || there.Digest == written.Digest) && (written.Writer == "" || there.Writer == written.Writer)
}

// afterFailure finds out what has become of an upload when the server has
// answered that it failed. While the upload is there it may still be completed,
// so the outcome is unknown. Without upload and object nothing was written.
func (s *S3) afterFailure(ctx context.Context, u Upload, want Head, failure error) (Head, error) {
	gone := s.uploadGone(ctx, u) // before the object is looked for, which may still come if it is not gone
	if head, err := s.completed(ctx, u.Name, want); err == nil {
		return head, nil
	}
	if gone {
		return Head{}, fmt.Errorf("%w: %s", errNoUpload, failure.Error())
	}
	return Head{}, failure
}

// uploadGone reports whether the server is sure not to have an upload.
func (s *S3) uploadGone(ctx context.Context, u Upload) bool {
	err := s.read(ctx, "list_parts", func(ctx context.Context, _ func()) error {
		_, err := s.client.ListParts(ctx, &s3.ListPartsInput{
			Bucket: &s.bucket, Key: s.object(u.Name), UploadId: &u.ID, MaxParts: aws.Int32(1),
		})
		return err
	})
	return errors.Is(err, errNoUpload)
}

// Abort implements Uploads. The identifier of an upload is never used again,
// so that a second attempt cannot abort another.
func (s *S3) Abort(ctx context.Context, u Upload) error {
	err := s.read(ctx, "abort", func(ctx context.Context, _ func()) error {
		_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &s.bucket, Key: s.object(u.Name), UploadId: &u.ID,
		})
		return err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("abort upload of %s: %w", u.Name, err)
	}
	return nil
}
