package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Get implements Store. A limit of 0 or less is Head.
func (s *S3) Get(ctx context.Context, name string, limit int64, alloc Alloc) (Head, []byte, error) {
	if limit <= 0 {
		head, err := s.Head(ctx, name)
		return head, nil, err
	}
	first := fmt.Sprintf("bytes=0-%d", limit-1)
	var body []byte
	head, err := s.sure(ctx, name, func() (head Head, err error) {
		head, body, err = s.getFirst(ctx, "get", name, &first, limit, alloc)
		if err = s.missing(ctx, name, err); errors.Is(err, errRange) {
			// An object of no bytes has no first byte, so S3 refuses the range,
			// and does not give the head with the refusal. By now there may be
			// another object, of any size.
			head, body, err = s.getFirst(ctx, "get", name, nil, limit, alloc)
		}
		return head, err
	})
	if err != nil {
		return Head{}, nil, fmt.Errorf("get %s: %w", name, err)
	}
	return head, body, nil
}

func (s *S3) getFirst(ctx context.Context, op, name string, byteRange *string, limit int64, alloc Alloc) (head Head, body []byte, err error) {
	err = s.read(ctx, op, func(ctx context.Context, progress func()) error {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
			Bucket: &s.bucket,
			Key:    s.object(name),
			Range:  byteRange,
		})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		progress()
		offset, total, err := extent(out.ContentRange, out.ContentLength)
		if err != nil {
			return err
		}
		if offset != 0 {
			return fmt.Errorf("%w: the answer begins at byte %d", ErrUnexpected, offset)
		}
		if unquoted(out.ETag) == "" {
			return errNoETag
		}
		head = headOf(out.ETag, total, out.ContentType, out.LastModified, out.Metadata)
		if n := min(limit, total); body == nil || int64(len(body)) != n { // not the same again after a try that failed
			if body, err = alloc.make(n); err != nil {
				return err
			}
		}
		head.Sum, err = readBody(out.Body, body, progress, head.hasDigest())
		return err
	})
	if err != nil {
		body = nil
	}
	return head, body, err
}

// make calls alloc, or makes a buffer if there is none.
func (a Alloc) make(n int64) ([]byte, error) {
	if a == nil {
		return make([]byte, n), nil
	}
	b, err := a(n)
	if err != nil {
		return nil, allocError{err}
	}
	return b, nil
}

// GetRange implements Store.
func (s *S3) GetRange(ctx context.Context, name, version string, off, n int64) (head Head, body []byte, err error) {
	if off < 0 || n <= 0 {
		return Head{}, nil, fmt.Errorf("get %s: %w: %d bytes from %d", name, errRange, n, off)
	}
	err = s.read(ctx, "get_range", func(ctx context.Context, progress func()) error {
		in := &s3.GetObjectInput{
			Bucket: &s.bucket,
			Key:    s.object(name),
			Range:  aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
		}
		if version != "" {
			in.IfMatch = quoted(version)
		}
		out, err := s.client.GetObject(ctx, in)
		if err != nil {
			return err
		}
		defer out.Body.Close()
		progress()
		if got := unquoted(out.ETag); got != version {
			return fmt.Errorf("%w: the version is %s", ErrPrecondition, got)
		}
		offset, total, err := extent(out.ContentRange, out.ContentLength)
		if err != nil {
			return err
		}
		if total < off+n {
			return fmt.Errorf("%w: %d bytes from %d of %d", errRange, n, off, total)
		}
		if offset != off {
			return fmt.Errorf("%w: the answer begins at byte %d", ErrUnexpected, offset)
		}
		head = headOf(out.ETag, total, out.ContentType, out.LastModified, out.Metadata)
		if body == nil { // or there was a try that failed
			body = make([]byte, n)
		}
		head.Sum, err = readBody(out.Body, body, progress, head.hasDigest())
		return err
	})
	if err = s.missing(ctx, name, err); errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %s", ErrPrecondition, err.Error())
	}
	if err != nil {
		return Head{}, nil, fmt.Errorf("get %s: %w", name, err)
	}
	return head, body, nil
}

// extent is where an answer begins in its object, and the size of the object.
// An answer without Content-Range is the whole object.
func extent(contentRange *string, contentLength *int64) (offset, total int64, err error) {
	if contentRange == nil {
		if contentLength == nil || *contentLength < 0 {
			return 0, 0, fmt.Errorf("%w: an answer without a length", ErrUnexpected)
		}
		return 0, *contentLength, nil
	}
	var last int64
	if _, err := fmt.Sscanf(*contentRange, "bytes %d-%d/%d", &offset, &last, &total); err != nil || total < 0 {
		return 0, 0, fmt.Errorf("%w: Content-Range %q", ErrUnexpected, *contentRange)
	}
	return offset, total, nil
}

// hashPiece is how many bytes are hashed at once while the next ones arrive.
const hashPiece = 256 << 10

// hasDigest reports whether bytes of the object can be compared with one.
func (h Head) hasDigest() bool { return h.Digest != "" || h.Piece > 0 }

// readBody fills the buffer, calls progress whenever bytes have come, and hashes
// what is there while the rest arrives if that is wanted. Fewer bytes are an error.
func readBody(body io.Reader, buffer []byte, progress func(), hashed bool) (sum *[sha256.Size]byte, err error) {
	h := sha256.New()
	ready := make(chan []byte, len(buffer)/hashPiece+2)
	var hashing sync.WaitGroup
	if hashed {
		hashing.Go(func() {
			for b := range ready {
				_, _ = h.Write(b) // a hash takes everything
			}
		})
	}
	got, handed := 0, 0
	for got < len(buffer) && err == nil {
		var n int
		n, err = body.Read(buffer[got:])
		got += n
		progress()
		if got-handed >= hashPiece || got == len(buffer) {
			ready <- buffer[handed:got]
			handed = got
		}
	}
	close(ready)
	hashing.Wait()
	switch {
	case got < len(buffer):
		return nil, &failure{
			is: []error{ErrUnavailable}, words: err.Error(),
			text: fmt.Sprintf("the answer broke off after %d of %d bytes", got, len(buffer)),
		}
	case !hashed:
		return nil, nil //nolint:nilnil // nobody wants it
	}
	return (*[sha256.Size]byte)(h.Sum(nil)), nil
}

func headOf(etag *string, size int64, contentType *string, modified *time.Time, metadata map[string]string) Head {
	head := Head{Version: unquoted(etag), Size: size, ContentType: aws.ToString(contentType)}
	head.Modified = seconds(modified)
	fromMetadata(&head, metadata)
	return head
}

func seconds(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

func quoted(version string) *string { return aws.String(`"` + version + `"`) }

func unquoted(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }
