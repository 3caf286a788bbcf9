package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"larder/store"
)

func (s suite) get(t *testing.T) {
	t.Run("Limits", func(t *testing.T) {
		b, body := s.bench(t), pattern(1000)
		b.mustPut(b.name("a"), body)
		for _, limit := range []int64{1, 999, 1000, 1001, 1 << 40, math.MaxInt64} {
			head, got, err := b.Get(b.Context(), b.name("a"), limit, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, body[:min(limit, 1000)]) || head.Size != 1000 || head.Digest != digest(body) {
				t.Fatalf("limit %d: %d bytes and head %+v", limit, len(got), head)
			}
		}
	})
	t.Run("Empty", func(t *testing.T) {
		b := s.bench(t)
		put := b.mustPut(b.name("a"), nil)
		for _, limit := range []int64{1, 1000} {
			head, got, err := b.Get(b.Context(), b.name("a"), limit, nil)
			if err != nil || len(got) != 0 {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			b.wantHead(head, put)
		}
		head, err := b.Head(b.Context(), b.name("a"))
		if err != nil {
			t.Fatal(err)
		}
		b.wantHead(head, put)
	})
	t.Run("Absent", func(t *testing.T) {
		b := s.bench(t)
		b.mustPut(b.name("ab"), nil)
		b.mustBeAbsent(b.name("a/b"))
		_, _, err := b.Get(b.Context(), b.name("a"), 1, nil)
		b.wantError(err, store.ErrNotFound)
	})
}

func (s suite) getRange(t *testing.T) {
	t.Run("Inside", func(t *testing.T) {
		b, body := s.bench(t), pattern(1000)
		head := b.mustPut(b.name("a"), body)
		for _, r := range [][2]int64{{0, 1000}, {0, 1}, {999, 1}, {100, 800}} {
			_, got, err := b.GetRange(b.Context(), b.name("a"), head.Version, r[0], r[1])
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, body[r[0]:r[0]+r[1]]) {
				t.Fatalf("range %v: other bytes", r)
			}
		}
	})
	t.Run("Outside", func(t *testing.T) {
		b := s.bench(t)
		head := b.mustPut(b.name("a"), pattern(1000))
		for _, r := range [][2]int64{{0, 1001}, {999, 2}, {1000, 1}, {5000, 10}, {-1, 10}, {0, 0}, {10, -1}} {
			_, got, err := b.GetRange(b.Context(), b.name("a"), head.Version, r[0], r[1])
			if got != nil {
				t.Fatalf("range %v: %d bytes", r, len(got))
			}
			b.wantError(err, store.ErrUnexpected)
		}
		empty := b.mustPut(b.name("empty"), nil)
		_, _, err := b.GetRange(b.Context(), b.name("empty"), empty.Version, 0, 1)
		b.wantError(err, store.ErrUnexpected)
	})
	t.Run("Overwritten", func(t *testing.T) {
		b := s.bench(t)
		one := b.mustPut(b.name("a"), []byte("one"))
		b.mustPut(b.name("a"), []byte("two"))
		_, _, err := b.GetRange(b.Context(), b.name("a"), one.Version, 0, 3)
		b.wantError(err, store.ErrPrecondition)
	})
	t.Run("Removed", func(t *testing.T) {
		b := s.bench(t)
		one := b.mustPut(b.name("a"), []byte("one"))
		if err := b.Delete(b.Context(), b.name("a")); err != nil {
			t.Fatal(err)
		}
		_, _, err := b.GetRange(b.Context(), b.name("a"), one.Version, 0, 3)
		b.wantError(err, store.ErrPrecondition)
	})
}

// cancel ends every operation's context before it begins: the error is the
// context's own and no sentinel.
func (s suite) cancel(t *testing.T) {
	b := s.bench(t)
	head := b.mustPut(b.name("a"), []byte("x"))
	cancelled, cancel := context.WithCancel(b.Context())
	cancel()
	expired, stop := context.WithDeadline(b.Context(), time.Now().Add(-time.Second))
	defer stop()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, expired: context.DeadlineExceeded} {
		for op, run := range map[string]func() error{
			"get":   func() error { _, _, err := b.Get(ctx, b.name("a"), 1, nil); return err },
			"range": func() error { _, _, err := b.GetRange(ctx, b.name("a"), head.Version, 0, 1); return err },
			"head":  func() error { _, err := b.Head(ctx, b.name("a")); return err },
			"put":   func() error { _, err := b.Put(ctx, b.name("b"), store.Write{}); return err },
			"list":  func() error { _, _, err := b.List(ctx, b.folder, "", 1); return err },
			"ping":  func() error { return b.Ping(ctx) },
			"delete": func() error {
				return b.Delete(ctx, b.name("a"))
			},
		} {
			err := run()
			if !errors.Is(err, want) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnexpected) {
				t.Errorf("%s: the error is %v, want %v", op, err, want)
			}
		}
	}
	b.mustGet(b.name("a"), []byte("x"))
}

func (s suite) ping(t *testing.T) {
	b := s.bench(t)
	if err := b.Ping(b.Context()); err != nil {
		t.Fatal(err)
	}
}
