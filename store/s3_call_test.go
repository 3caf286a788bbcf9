package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func silentStore() *S3 {
	return &S3{observe: func(string, error, time.Duration) {}, notes: newNotes(zerolog.Nop(), "")}
}

// A request that goes on is not given up however long it takes; one that is
// silent is.
func TestSilenceIsBoundedAndNotTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := silentStore()
		slow := func(ctx context.Context, progress func()) error {
			for range 100 {
				time.Sleep(silence * 9 / 10)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				progress()
			}
			return nil
		}
		if err := s.read(t.Context(), "get", slow); err != nil {
			t.Errorf("a slow read: %v", err)
		}
		if err := s.write(t.Context(), "put", silence, slow); err != nil {
			t.Errorf("a slow write: %v", err)
		}
		began, tries := time.Now(), 0
		silent := func(ctx context.Context, progress func()) error {
			tries++
			progress()
			<-ctx.Done()
			return ctx.Err()
		}
		if err := s.read(t.Context(), "get", silent); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotWritten) {
			t.Errorf("a silent read: %v", err)
		}
		if took := time.Since(began); took != silence || tries != 1 {
			t.Errorf("%d tries in %s", tries, took)
		}
	})
}

// The log is told of the same thing once in a while, with how often it was left out.
func TestNotesAreNotForEveryRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotes(zerolog.Nop(), "")
		said := 0
		for range 100 {
			if due, _ := n.due("a"); due {
				said++
			}
		}
		if due, _ := n.due("b"); !due || said != 1 {
			t.Errorf("a was said %d times, b: %t", said, due)
		}
		time.Sleep(noteEvery)
		if due, unsaid := n.due("a"); !due || unsaid != 99 {
			t.Errorf("later: %t, %d unsaid", due, unsaid)
		}
	})
}
