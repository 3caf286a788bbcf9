package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Head implements Store.
func (s *S3) Head(ctx context.Context, name string) (Head, error) {
	head, err := s.sure(ctx, name, func() (Head, error) { return s.headOnce(ctx, name) })
	if err != nil {
		return Head{}, fmt.Errorf("head %s: %w", name, err)
	}
	return head, nil
}

// headOnce is one answer, whatever it says.
func (s *S3) headOnce(ctx context.Context, name string) (head Head, err error) {
	err = s.read(ctx, "head", func(ctx context.Context, _ func()) error {
		out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.object(name)})
		if err != nil {
			return err
		}
		if unquoted(out.ETag) == "" {
			return errNoETag
		}
		if archived(out.StorageClass, out.Restore) {
			return ErrArchived
		}
		head = headOf(out.ETag, aws.ToInt64(out.ContentLength), out.ContentType, out.LastModified, out.Metadata)
		return nil
	})
	return head, s.missing(ctx, name, err)
}

// archived reports whether an object's bytes cannot be read, which a HEAD of it
// does not refuse as a GET does. One that was restored says until when.
func archived(class types.StorageClass, restore *string) bool {
	return (class == types.StorageClassGlacier || class == types.StorageClassDeepArchive) &&
		!strings.Contains(aws.ToString(restore), `ongoing-request="false"`)
}

// missing finds out whether a read was forbidden only because the object is not
// there. S3 forbids reading what is not there unless the credentials allow
// s3:ListBucket for the whole bucket. Where they allow it for a prefix, listing
// shows whether the object is there.
func (s *S3) missing(ctx context.Context, name string, err error) error {
	if !forbidsReading("get", err) {
		return err
	}
	found, _, listed := s.List(ctx, name, "", 1)
	switch {
	case listed != nil:
		return fmt.Errorf("%w; whether it is there cannot be known: %w", err, listed)
	case len(found) == 0 || found[0].Name != name:
		return fmt.Errorf("%w: it is not listed, and reading it is forbidden", ErrNotFound)
	}
	s.notes.tell("get", err)
	return err
}

// forbidsReading reports whether a read was forbidden, be it because there is
// nothing to read.
func forbidsReading(op string, err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && (op == "get" || op == "get_range" || op == "head") &&
		f.status == http.StatusForbidden && (f.code == "AccessDenied" || f.code == "Forbidden")
}

// Ping implements Store. It lists one name: what heads the bucket is not
// allowed to credentials that are limited to a prefix, and has no body to say
// what is wrong.
func (s *S3) Ping(ctx context.Context) error {
	err := s.read(ctx, "ping", func(ctx context.Context, _ func()) error {
		_, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: what answers at --s3-endpoint knows no bucket of that name: %s", ErrUnexpected, err.Error())
	}
	if err != nil {
		return fmt.Errorf("list the bucket: %w", err)
	}
	return nil
}
