package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// silence is how long S3 may take to begin an answer to a small request, and
	// how long it may take no byte of a body or give none. A body as a whole has
	// no limit but the caller's: over a slow link that many share it takes long.
	silence = 10 * time.Second
	// tryFor is how long after the first attempt another one is begun.
	tryFor = silence
	// slowest is the rate, in bytes a second, at which at least what the kernel
	// and proxies hold of a body must arrive once it has been handed to them.
	slowest = 64 << 10

	attempts   = 3
	firstPause = 50 * time.Millisecond
	// longestPause is the longest Retry-After that is waited out here. After a
	// longer one it is the caller's to come back.
	longestPause = time.Second
)

// attempt sends one request. It calls progress whenever something of the answer
// has arrived, or of the request has left, so that S3 is not given up.
type attempt func(ctx context.Context, progress func()) error

// read tries up to three times, as long as S3 is unavailable or gives no ETag:
// some servers have none of an object that is just being written.
func (s *S3) read(ctx context.Context, op string, try attempt) error {
	return s.retry(ctx, op, silence, try)
}

// retry tries as read does, and gives an attempt up if S3 makes no progress for
// as long as limit.
func (s *S3) retry(ctx context.Context, op string, limit time.Duration, try attempt) error {
	began := time.Now()
	for n := 1; ; n++ {
		err := s.call(ctx, op, limit, try)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w (%w)", ctx.Err(), errors.New(err.Error()))
		case n == attempts || !errors.Is(err, ErrUnavailable) && !errors.Is(err, errNoETag) || time.Since(began) >= tryFor:
			return err
		}
		wait := firstPause << (n - 1)
		if later, ok := errors.AsType[Later](err); ok {
			wait = max(wait, later.After)
		}
		if wait > longestPause || !pause(ctx, wait) {
			return err
		}
	}
}

// writeLimit is how long S3 may take to answer once a body of so many bytes
// has been handed over.
func writeLimit(size int) time.Duration {
	return silence + time.Duration(size)*time.Second/slowest
}

// write tries once. An answer that cannot be read leaves the outcome unknown.
func (s *S3) write(ctx context.Context, op string, limit time.Duration, try attempt) error {
	err := s.call(ctx, op, limit, try)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w)", ctx.Err(), errors.New(err.Error()))
	case errors.Is(err, errUnreadable):
		return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
	}
	return err
}

// call makes one attempt, and more if S3 refused the one before for its
// signature or headers and the next will have others. Nothing was done then, so
// that a write may be sent again as well.
func (s *S3) call(ctx context.Context, op string, limit time.Duration, try attempt) error {
	used, checked, repeated := s.credentials.inUse(), s.checksums.sentWith(op), s.repeats.sent()
	err := s.once(ctx, op, limit, try)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if checked && s.checksums.blamed(op, err) {
		again := s.once(ctx, op, limit, try)
		s.checksums.tried(op, again)
		if again == nil || ctx.Err() != nil {
			return again
		}
		err = again
	}
	if s.cfg.Encryption != "" && !repeated && s.repeats.blamed(op, err) {
		again := s.once(ctx, op, limit, try)
		if s.repeats.tried(again) {
			s.notes.log.Warn().Msg("s3 denies parts of an upload that do not ask for encryption as its begin did: all ask for it now")
		}
		if again == nil || ctx.Err() != nil {
			return again
		}
	}
	if s.signsOtherwise(err, used) {
		return s.once(ctx, op, limit, try)
	}
	return err
}

// signsOtherwise reports whether the next request bears another signature than
// one that was refused with err: by S3's clock, which the SDK has read in the
// refusal, or with credentials that have been replaced where they come from. A
// HEAD that is refused does not say why.
func (s *S3) signsOtherwise(err error, used string) bool {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return false
	}
	switch f.code {
	case "RequestTimeTooSkewed":
		return true
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
		"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "InvalidSecurity", "Forbidden", "BadRequest":
		return s.credentials.renew(used)
	}
	return false
}

// once makes one attempt, and gives it up if S3 makes no progress for as long
// as limit.
func (s *S3) once(caller context.Context, op string, limit time.Duration, try attempt) error {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	timer := time.AfterFunc(limit, cancel)
	defer timer.Stop()
	begun := time.Now()
	err := try(ctx, func() { timer.Reset(limit) })
	took := time.Since(begun)
	if err == nil {
		s.observe(observedAs(caller, op), nil, took)
		return nil
	}
	_, noMemory := errors.AsType[allocError](err)
	err = sentinel(op, err, took)
	if noMemory || errors.Is(caller.Err(), context.Canceled) { // S3 is not to blame
		s.observe(observedAs(caller, op), fmt.Errorf("%w: %s", context.Canceled, err.Error()), took)
		return err
	}
	s.observe(observedAs(caller, op), err, took)
	s.notes.failed(op, err)
	return err
}

// pause waits between d and 2d, and reports whether the context is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
