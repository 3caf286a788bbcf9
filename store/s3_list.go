package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// maxListed is the most entries that S3 gives in one answer.
const maxListed = 1000

// List implements Store. It is one request. Names are not asked for encoded:
// they hold nothing that XML cannot, and not every server that says that it has
// encoded them has.
func (s *S3) List(ctx context.Context, prefix, after string, limit int) (entries []Entry, more bool, err error) {
	if limit < 1 || limit > maxListed {
		return nil, false, fmt.Errorf("list %s: %w: a limit of %d", prefix, ErrUnexpected, limit)
	}
	in := &s3.ListObjectsV2Input{
		Bucket:  &s.bucket,
		Prefix:  s.object(prefix),
		MaxKeys: aws.Int32(int32(limit)),
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
		entries, err = s.entries(out, prefix)
		if err == nil {
			err = goesOn(entries, after, more)
		}
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list %s: %w", prefix, err)
	}
	if len(entries) > limit {
		entries, more = entries[:limit], true
	}
	if len(entries) > 0 {
		after = entries[len(entries)-1].Name
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		if e.Version == "" {
			s.notes.odd("an object has no etag: it cannot be read and is not listed", e.Name)
		}
		return e.Version == ""
	})
	if more && len(entries) == 0 {
		return s.List(ctx, prefix, after, limit)
	}
	return entries, more, nil
}

func (s *S3) entries(out *s3.ListObjectsV2Output, prefix string) ([]Entry, error) {
	entries := make([]Entry, 0, len(out.Contents))
	for _, object := range out.Contents {
		name, ok := strings.CutPrefix(aws.ToString(object.Key), s.prefix)
		if !ok || !strings.HasPrefix(name, prefix) {
			return nil, fmt.Errorf("%w: a listing of %q holds a name outside of it", errUnreadable, prefix)
		}
		if aws.ToInt64(object.Size) < 0 {
			return nil, fmt.Errorf("%w: a listing gives %q a size of %d bytes", errUnreadable, name, *object.Size)
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

// goesOn refuses a page from which a listing would miss names or never end: its
// names have to ascend and to follow the last one of the page before. Servers
// that keep names in UTF-16 sort them so, which is as good for that. A page that
// is the last is brought into order instead: some servers list folder by folder.
func goesOn(page []Entry, after string, more bool) error {
	if more && len(page) == 0 {
		return fmt.Errorf("%w: a page of a listing has no names and says that there are more", errUnreadable)
	}
	if ascend(page, after, strings.Compare) || ascend(page, after, compareUTF16) {
		return nil
	}
	if !more {
		slices.SortFunc(page, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	}
	if more || !ascend(page, after, strings.Compare) {
		return fmt.Errorf("%w: a listing does not go on: its names are not in order after %q", errUnreadable, after)
	}
	return nil
}

// ascend reports whether each name of a page follows the one before, and the
// first one the name after, unless that is empty.
func ascend(page []Entry, after string, compare func(a, b string) int) bool {
	for _, entry := range page {
		if after != "" && compare(after, entry.Name) >= 0 {
			return false
		}
		after = entry.Name
	}
	return true
}

func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}
