package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, name string) error {
	err := s.write(ctx, "delete", silence, func(ctx context.Context, _ func()) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.object(name)})
		return err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// DeleteVersion is Delete of an object only if it has this version, else
// ErrPrecondition, on a server that holds that. Some ignore it silently, so its caller
// has to know that the version is there. Where it is refused as unknown, it is left out.
func (s *S3) DeleteVersion(ctx context.Context, name, version string) error {
	err := s.write(ctx, "delete", silence, func(ctx context.Context, _ func()) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.object(name), IfMatch: quoted(version)})
		return err
	})
	switch {
	case errors.Is(err, ErrUnexpected):
		return s.Delete(ctx, name)
	case err != nil && !errors.Is(err, ErrNotFound):
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}
