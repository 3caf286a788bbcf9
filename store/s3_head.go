package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Head implements Store.
func (s *S3) Head(ctx context.Context, name string) (head Head, err error) {
	err = s.read(ctx, "head", func(ctx context.Context, _ func()) error {
		out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.object(name)})
		if err != nil {
			return err
		}
		head = headOf(out.ETag, aws.ToInt64(out.ContentLength), out.ContentType, out.LastModified, out.Metadata)
		return nil
	})
	if err != nil {
		return Head{}, fmt.Errorf("head %s: %w", name, err)
	}
	return head, nil
}

// Ping implements Store.
func (s *S3) Ping(ctx context.Context) error {
	err := s.read(ctx, "ping", func(ctx context.Context, _ func()) error {
		_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: there is no bucket %s", ErrUnexpected, s.bucket)
	}
	if err != nil {
		return fmt.Errorf("ping bucket %s: %w", s.bucket, err)
	}
	return nil
}
