package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	// MaxDeleted is the most names that DeleteMany takes: what S3 removes at once.
	MaxDeleted = 1000
	// deleteEach is how long S3 may take for each of many names, beyond silence: some
	// servers remove one after the other.
	deleteEach = 50 * time.Millisecond
	// deletesAtOnce is how many are removed beside each other where S3 does not remove
	// many in one request.
	deletesAtOnce = 16
)

// DeleteMany implements Store. It is one request for all names, and more for those that
// S3 refused for now; a server that does not remove many at once is asked for each.
func (s *S3) DeleteMany(ctx context.Context, names []string) []error {
	errs := make([]error, len(names))
	left := make([]int, len(names)) // those that are not removed yet
	for i := range left {
		left[i] = i
	}
	for n := 0; n < attempts && len(left) > 0; n++ {
		if n > 0 && !pause(ctx, firstPause<<(n-1)) {
			break
		}
		left = s.deleteOnce(ctx, names, left, errs)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("delete %s: %w", names[i], err)
		}
	}
	return errs
}

// deleteOnce asks once for those of the names that are left, sets their errors, and
// returns those for which S3 may be asked again: it has answered, or was not reached.
func (s *S3) deleteOnce(ctx context.Context, names []string, left []int, errs []error) (again []int) {
	if s.singly.Load() {
		s.deleteSingly(ctx, names, left, errs)
		return nil
	}
	found, err := s.deleteAtOnce(ctx, names, left)
	if errors.Is(err, ErrUnexpected) {
		// Not every server has the request, and not every one takes the SDK's checksum of it.
		// Ceph allows it only to who may delete from the whole bucket.
		if s.deleteSingly(ctx, names, left, errs); errs[left[0]] == nil && !s.singly.Swap(true) {
			s.notes.odd("s3 does not remove many objects at once: they are removed one by one", s.bucket)
		}
		return nil
	}
	var unsaid []int // names of which the answer says nothing
	for _, i := range left {
		answer, ok := found[*s.object(names[i])]
		if err == nil && !ok {
			unsaid = append(unsaid, i)
			continue
		}
		errs[i] = cmp.Or(err, answer)
		if errors.Is(errs[i], ErrUnavailable) && (err == nil || errors.Is(err, ErrNotWritten)) {
			again = append(again, i)
		}
	}
	s.deleteSingly(ctx, names, unsaid, errs)
	return again
}

// deleteSingly removes the first, and then the others beside each other: what is
// refused for all of them is asked once.
func (s *S3) deleteSingly(ctx context.Context, names []string, left []int, errs []error) {
	var g errgroup.Group
	g.SetLimit(deletesAtOnce)
	for n, i := range left {
		if n == 0 {
			if errs[i] = s.Delete(ctx, names[i]); errors.Is(errs[i], ErrUnexpected) {
				for _, other := range left {
					errs[other] = errs[i]
				}
				return
			}
			continue
		}
		g.Go(func() error { errs[i] = s.Delete(ctx, names[i]); return nil })
	}
	_ = g.Wait() // each has its own error
}

// deleteAtOnce is one request. It returns what S3 says of each object, by its place in
// the bucket.
func (s *S3) deleteAtOnce(ctx context.Context, names []string, left []int) (found map[string]error, err error) {
	in := &s3.DeleteObjectsInput{Bucket: &s.bucket, Delete: &types.Delete{}}
	for _, i := range left {
		in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: s.object(names[i])})
	}
	limit := silence + time.Duration(len(left))*deleteEach
	err = s.write(ctx, "delete_many", limit, func(ctx context.Context, _ func()) error {
		out, err := s.client.DeleteObjects(ctx, in)
		if err != nil {
			return err
		}
		found = make(map[string]error, len(left))
		for _, d := range out.Deleted {
			found[aws.ToString(d.Key)] = nil
		}
		for _, refused := range out.Errors {
			found[aws.ToString(refused.Key)] = s.refusedOne(refused)
		}
		return nil
	})
	return found, err
}

// refusedOne is the error of one of many objects. One that is not there is none.
func (s *S3) refusedOne(refused types.Error) error {
	code, words := aws.ToString(refused.Code), aws.ToString(refused.Message)
	f := &failure{code: code, words: words, status: statusOf(code)}
	f.is = []error{byCode(f.status, code, words)}
	f.text = "S3 answers " + code + advice("delete", f, nil)
	switch {
	case errors.Is(f, ErrNotFound):
		return nil
	case errors.Is(f, ErrUnavailable) && throttles(code):
		f.is = append(f.is, ErrNotWritten)
	}
	s.notes.failed("delete", f)
	return f
}

// statusOf is the status that a code comes with, as far as it matters.
func statusOf(code string) int {
	if throttles(code) {
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
