package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// maxListed is the most entries that S3 gives in one answer.
const maxListed = 1000

// List implements Store. It is one request.
func (s *S3) List(ctx context.Context, prefix, after string, limit int) (entries []Entry, more bool, err error) {
	if limit < 1 || limit > maxListed {
		return nil, false, fmt.Errorf("list %s: %w: a limit of %d", prefix, ErrUnexpected, limit)
	}
	in := &s3.ListObjectsV2Input{
		Bucket:       &s.bucket,
		Prefix:       s.object(prefix),
		MaxKeys:      aws.Int32(int32(limit)),
		EncodingType: types.EncodingTypeUrl,
	}
	if after != "" {
		in.StartAfter = s.object(after)
	}
	err = s.read(ctx, "list", func(ctx context.Context, _ func()) error {
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return err
		}
		more = aws.ToBool(out.IsTruncated)
		entries, err = s.entries(out)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list %s: %w", prefix, err)
	}
	return entries, more, nil
}

func (s *S3) entries(out *s3.ListObjectsV2Output) ([]Entry, error) {
	entries := make([]Entry, 0, len(out.Contents))
	for _, object := range out.Contents {
		key, err := listedKey(object.Key, out.EncodingType)
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutPrefix(key, s.prefix)
		if !ok {
			return nil, fmt.Errorf("%w: the key %q in a listing of %s", errUnreadable, key, s.prefix)
		}
		entries = append(entries, Entry{
			Name:     name,
			Version:  unquoted(object.ETag),
			Size:     aws.ToInt64(object.Size),
			Modified: seconds(object.LastModified),
		})
	}
	return entries, nil
}
