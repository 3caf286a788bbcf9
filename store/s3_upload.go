package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
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
	metadata, err := toMetadata(head)
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
		if s.checksums.sent() {
			in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
		}
		out, err := s.client.CreateMultipartUpload(ctx, in)
		if err != nil {
			return err
		}
		if u.ID = aws.ToString(out.UploadId); u.ID == "" {
			return fmt.Errorf("%w: an answer without an upload", errUnreadable)
		}
		return nil
	})
	if err != nil {
		return Upload{}, fmt.Errorf("begin upload of %s: %w", name, err)
	}
	return u, nil
}

// Complete implements Uploads.
func (s *S3) Complete(ctx context.Context, u Upload, parts []Part, c Conditions) (Head, error) {
	head := u.Head
	listed := make([]types.CompletedPart, 0, len(parts))
	for i, part := range parts {
		if i > 0 && part.Number <= parts[i-1].Number {
			return Head{}, fmt.Errorf("complete upload of %s: %w: part %d is out of order", u.Name, ErrUnexpected, part.Number)
		}
		head.Size += part.Size
		done := types.CompletedPart{
			PartNumber: aws.Int32(int32(part.Number)), //nolint:gosec // 10,000 at most
			ETag:       quoted(part.Tag),
		}
		if part.Checksum != "" {
			done.ChecksumCRC32C = &part.Checksum
		}
		listed = append(listed, done)
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket:          &s.bucket,
		Key:             s.object(u.Name),
		UploadId:        &u.ID,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: listed},
	}
	in.IfMatch, in.IfNoneMatch = c.headers()
	err := s.write(ctx, "complete", completeTimeout, func(ctx context.Context, _ func()) error {
		out, err := s.client.CompleteMultipartUpload(ctx, in)
		if err != nil {
			return err
		}
		if head.Version = unquoted(out.ETag); head.Version == "" {
			return fmt.Errorf("%w: an answer without an ETag", errUnreadable)
		}
		return nil
	})
	if err = c.absent(err); err != nil {
		return Head{}, fmt.Errorf("complete upload of %s: %w", u.Name, err)
	}
	return head, nil
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
