package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// maxUploadPages bounds what is read of a listing of uploads. The rest is found once
// these are gone.
const maxUploadPages = 100

// Abandoned implements Uploads. It is one request for every 1,000 uploads under
// the prefix, of any age; or in the whole bucket, where the server does not find
// them by their prefix.
func (s *S3) Abandoned(ctx context.Context, prefix string, before time.Time) ([]Upload, error) {
	found, err := s.listUploads(ctx, s.prefix+prefix)
	if err == nil && len(found) == 0 && !s.Traits().UploadsByPrefix {
		found, err = s.listUploads(ctx, "")
	}
	if err != nil {
		return nil, fmt.Errorf("list uploads of %s: %w", prefix, err)
	}
	return slices.DeleteFunc(found, func(u Upload) bool {
		return !u.Began.Before(before) || !strings.HasPrefix(u.Name, prefix)
	}), nil
}

// listUploads lists uploads whose place in the bucket begins with prefix; not
// every server looks at it. Keys are not asked for in their URL encoding: what
// Larder writes needs none in XML, and some servers encode without saying so.
func (s *S3) listUploads(ctx context.Context, prefix string) (found []Upload, err error) {
	in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, MaxUploads: aws.Int32(maxListed)}
	if prefix != "" {
		in.Prefix = &prefix
	}
	seen := map[string]bool{} // markers
	for n, more := 0, true; more && n < maxUploadPages; n++ {
		var page []Upload
		err := s.read(ctx, "list_uploads", func(ctx context.Context, _ func()) error {
			out, err := s.client.ListMultipartUploads(ctx, in)
			if err != nil {
				return err
			}
			more = aws.ToBool(out.IsTruncated)
			page, err = s.uploads(in, out, seen)
			return err
		})
		switch {
		case errors.Is(err, errNoUpload) && in.KeyMarker == nil:
			return nil, nil // rclone answers so before the first upload
		case errors.Is(err, ErrUnexpected) && in.KeyMarker != nil:
			return found, nil // versitygw refuses its own markers; the rest is found once these are gone
		case err != nil:
			return nil, err
		}
		found = append(found, page...)
	}
	return found, nil
}

// uploads reads one page, and makes in ask for the next, which begins at markers that
// none of the pages before began at.
func (s *S3) uploads(in *s3.ListMultipartUploadsInput, out *s3.ListMultipartUploadsOutput, seen map[string]bool) ([]Upload, error) {
	uploads := make([]Upload, 0, len(out.Uploads))
	for _, upload := range out.Uploads {
		if name, ok := strings.CutPrefix(aws.ToString(upload.Key), s.prefix); ok {
			uploads = append(uploads, Upload{Name: name, ID: aws.ToString(upload.UploadId), Began: seconds(upload.Initiated)})
		}
	}
	if !aws.ToBool(out.IsTruncated) {
		return uploads, nil
	}
	next := aws.ToString(out.NextKeyMarker)
	markers := next + "\n" + aws.ToString(out.NextUploadIdMarker)
	if next == "" || seen[markers] {
		return nil, fmt.Errorf("%w: a listing of uploads that does not go on", errUnreadable)
	}
	seen[markers] = true
	in.KeyMarker, in.UploadIdMarker = &next, out.NextUploadIdMarker
	return uploads, nil
}
