package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// silence is how long S3 may take to begin an answer to a small request.
	silence = 5 * time.Second
	// readTimeout bounds a read with all its attempts, and writeTimeout a
	// write of few bytes, if the caller's context has no deadline.
	readTimeout  = 10 * time.Second
	writeTimeout = silence
	// slowest is the rate, in bytes a second, below which a write is given
	// up: 8 MiB may take 30 s.
	slowest = 8 << 20 / 25

	attempts   = 3
	firstPause = 50 * time.Millisecond
)

// attempt sends one request. It calls answered when the head of the answer is
// there, so that from then on only the context bounds it.
type attempt func(ctx context.Context, answered func()) error

// read tries up to three times, as long as S3 is unavailable.
func (s *S3) read(ctx context.Context, op string, try attempt) error {
	return s.retry(ctx, op, silence, readTimeout, try)
}

// retry tries up to three times, as long as S3 is unavailable. An attempt is
// given up if S3 does not begin to answer within limit, and all of them after
// total if the caller's context has no deadline.
func (s *S3) retry(ctx context.Context, op string, limit, total time.Duration, try attempt) error {
	bounded, cancel := withDefaultTimeout(ctx, total)
	defer cancel()
	for n := 1; ; n++ {
		err := s.call(bounded, op, limit, try)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w (%w)", ctx.Err(), errors.New(err.Error()))
		case n == attempts || !errors.Is(err, ErrUnavailable):
			return err
		}
		if !pause(bounded, firstPause<<(n-1)) {
			return err
		}
	}
}

// writeLimit is how long S3 may take to answer a write of so many bytes.
func writeLimit(size int) time.Duration {
	return writeTimeout + time.Duration(size)*time.Second/slowest
}

// write tries once. An answer that cannot be read leaves the outcome unknown.
func (s *S3) write(ctx context.Context, op string, limit time.Duration, try attempt) error {
	bounded, cancel := withDefaultTimeout(ctx, limit)
	defer cancel()
	err := s.call(bounded, op, limit, try)
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

// call makes one attempt, and gives it up if S3 does not begin to answer
// within limit.
func (s *S3) call(caller context.Context, op string, limit time.Duration, try attempt) error {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	timer := time.AfterFunc(limit, cancel)
	defer timer.Stop()
	begun := time.Now()
	err := try(ctx, func() { timer.Stop() })
	took := time.Since(begun)
	if err == nil {
		s.observe(op, nil, took)
		return nil
	}
	_, noMemory := errors.AsType[allocError](err)
	err = sentinel(err, took)
	if noMemory || errors.Is(caller.Err(), context.Canceled) { // S3 is not to blame
		s.observe(op, fmt.Errorf("%w: %s", context.Canceled, err.Error()), took)
	} else {
		s.observe(op, err, took)
	}
	return err
}

func withDefaultTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// pause waits between d and 2d, and says whether the context is still alive.
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
