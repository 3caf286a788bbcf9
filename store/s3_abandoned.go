package store

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Abandoned implements Uploads. It is one request for every 1,000 uploads
// under the prefix, of any age.
func (s *S3) Abandoned(ctx context.Context, prefix string, before time.Time) ([]Upload, error) {
	var abandoned []Upload
	in := &s3.ListMultipartUploadsInput{
		Bucket:       &s.bucket,
		Prefix:       s.object(prefix),
		MaxUploads:   aws.Int32(maxListed),
		EncodingType: types.EncodingTypeUrl,
	}
	for more := true; more; {
		var page []Upload
		err := s.read(ctx, "list_uploads", func(ctx context.Context, _ func()) error {
			out, err := s.client.ListMultipartUploads(ctx, in)
			if err != nil {
				return err
			}
			more = aws.ToBool(out.IsTruncated)
			page, err = s.uploads(in, out)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list uploads of %s: %w", prefix, err)
		}
		for _, upload := range page {
			if upload.Began.Before(before) && strings.HasPrefix(upload.Name, prefix) {
				abandoned = append(abandoned, upload)
			}
		}
	}
	return abandoned, nil
}

// uploads reads one page, and makes in ask for the next.
func (s *S3) uploads(in *s3.ListMultipartUploadsInput, out *s3.ListMultipartUploadsOutput) ([]Upload, error) {
	uploads := make([]Upload, 0, len(out.Uploads))
	for _, upload := range out.Uploads {
		key, err := listedKey(upload.Key, out.EncodingType)
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutPrefix(key, s.prefix)
		if !ok {
			// Not every server looks at the prefix.
			continue
		}
		uploads = append(uploads, Upload{Name: name, ID: aws.ToString(upload.UploadId), Began: seconds(upload.Initiated)})
	}
	if !aws.ToBool(out.IsTruncated) {
		return uploads, nil
	}
	next, err := listedKey(out.NextKeyMarker, out.EncodingType)
	if err != nil {
		return nil, err
	}
	if next == aws.ToString(in.KeyMarker) && aws.ToString(out.NextUploadIdMarker) == aws.ToString(in.UploadIdMarker) {
		return nil, fmt.Errorf("%w: a listing of uploads that does not go on", errUnreadable)
	}
	in.KeyMarker, in.UploadIdMarker = &next, out.NextUploadIdMarker
	return uploads, nil
}

// listedKey is a key out of a listing, which may be encoded.
func listedKey(key *string, encoding types.EncodingType) (string, error) {
	if encoding != types.EncodingTypeUrl {
		return aws.ToString(key), nil
	}
	decoded, err := url.QueryUnescape(aws.ToString(key))
	if err != nil {
		return "", fmt.Errorf("%w: the key %q in a listing", errUnreadable, aws.ToString(key))
	}
	return decoded, nil
}
