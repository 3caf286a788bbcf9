package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/store"
)

func (s uploads) uploadConditions(t *testing.T) {
	try := func(b uploadBench, c store.Conditions) (store.Head, []byte, error) {
		b.Helper()
		bodies := parts(store.MinPart, 7)
		u := b.mustBegin(b.name("a"), store.Head{})
		head, err := b.Complete(b.Context(), u, b.mustStore(u, bodies...), c)
		if abort := b.Abort(b.Context(), u); abort != nil {
			b.Error(abort)
		}
		b.wantUploads("")
		return head, bytes.Join(bodies, nil), err
	}
	t.Run("IfAbsent", func(t *testing.T) {
		b := s.bench(t)
		head, body, err := try(b, store.Conditions{IfAbsent: true})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = try(b, store.Conditions{IfAbsent: true})
		b.wantError(err, store.ErrPrecondition)
		b.wantHead(b.mustGet(b.name("a"), body), head)
	})
	if s.has(NoUploadConditions) {
		return
	}
	t.Run("IfMatch", func(t *testing.T) {
		b := s.bench(t)
		old := b.mustPut(b.name("a"), []byte("old"))
		head, body, err := try(b, store.Conditions{IfMatch: old.Version})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = try(b, store.Conditions{IfMatch: old.Version})
		b.wantError(err, store.ErrPrecondition)
		b.wantHead(b.mustGet(b.name("a"), body), head)
		if _, _, err = try(b, store.Conditions{IfMatch: head.Version}); err != nil {
			t.Error(err)
		}
	})
	t.Run("IfMatchAbsent", func(t *testing.T) {
		b := s.bench(t)
		_, _, err := try(b, store.Conditions{IfMatch: "0123"})
		b.wantError(err, store.ErrPrecondition)
		b.mustBeAbsent(b.name("a"))
	})
}

// race completes uploads of one name at once while others read it: one wins,
// and nobody ever sees anything but one upload's bytes under its version.
func (s uploads) race(t *testing.T) {
	if s.has(TornByRaces) || s.has(NoUploadConditions) {
		return
	}
	b := s.bench(t)
	name := b.name("a")
	old := b.mustPut(name, []byte("old"))
	const writers = 4
	var mu sync.Mutex
	bodies := map[string][]byte{old.Version: []byte("old")}
	var winners int
	var writing, reading sync.WaitGroup
	stop := make(chan struct{})
	read := map[string][]byte{}
	reading.Go(func() {
		for !closed(stop) {
			head, body, err := b.Get(b.Context(), name, 1<<24, nil)
			if err != nil || head.Size != int64(len(body)) {
				b.Errorf("%d bytes, %+v, %v", len(body), head, err)
				return
			}
			if was := read[head.Version]; was != nil && !bytes.Equal(was, body) {
				b.Errorf("the bytes of version %s have changed", head.Version)
			}
			read[head.Version] = body
		}
	})
	for n := range writers {
		writing.Go(func() {
			body := pattern(store.MinPart + 10 + n)
			head, err := b.inTwoParts(name, body, store.Conditions{IfMatch: old.Version})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners++
				bodies[head.Version] = body
			case !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrConflict):
				b.Error(err)
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
	if winners != 1 {
		t.Errorf("%d uploads won", winners)
	}
	for version, body := range read {
		if !bytes.Equal(bodies[version], body) {
			t.Errorf("version %s was read with %d other bytes", version, len(body))
		}
	}
}

// inTwoParts uploads a body that is longer than one part, and does not end the test if that fails.
func (b uploadBench) inTwoParts(name string, body []byte, c store.Conditions) (store.Head, error) {
	u, err := b.Begin(b.Context(), name, store.Head{})
	if err != nil {
		return store.Head{}, err
	}
	first, err := b.Part(b.Context(), u, 1, body[:store.MinPart])
	last, err2 := b.Part(b.Context(), u, 2, body[store.MinPart:])
	if err = errors.Join(err, err2); err != nil {
		return store.Head{}, err
	}
	return b.Complete(b.Context(), u, []store.Part{first, last}, c)
}

func (s uploads) abandoned(t *testing.T) {
	b := s.bench(t)
	b.wantUploads("")
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("some one/%d+é", i%3)
		u := b.mustBegin(b.name(name), store.Head{})
		if i%2 == 0 {
			b.mustStore(u, []byte("part"))
		}
		want = append(want, name)
	}
	b.mustBegin(b.name("some other"), store.Head{})
	b.wantUploads("some one", want...)
	b.wantUploads("some other", "some other")
	b.wantUploads("", append(want, "some other")...)
	b.wantUploads("x")
	b.wantListed("", []string{}, 10)

	found := b.wantUploads("some one", want...)
	if !s.has(UndatedUploads) {
		for _, u := range found {
			if time.Since(u.Began).Abs() > time.Minute {
				t.Errorf("%s began %s", u.Name, u.Began)
			}
		}
		early, err := b.Abandoned(b.Context(), b.folder, time.Now().Add(-time.Hour))
		if err != nil || len(early) != 0 {
			t.Errorf("begun an hour ago: %v, %v", early, err)
		}
	}
	for _, u := range found {
		if err := b.Abort(b.Context(), u); err != nil {
			t.Error(err)
		}
	}
	b.wantUploads("", "some other")
}

func (s uploads) uploadNames(t *testing.T) {
	b := s.bench(t)
	for _, odd := range oddNames() {
		name := b.name(odd)
		u := b.mustBegin(name, store.Head{})
		head := b.mustComplete(u, b.mustStore(u, []byte(odd)))
		b.wantHead(b.mustGet(name, []byte(odd)), head)
		b.mustBegin(name, store.Head{})
	}
	for _, u := range b.wantUploads("", oddNames()...) {
		if err := b.Abort(b.Context(), u); err != nil {
			t.Error(err)
		}
	}
	b.wantUploads("")
}

// uploadCancel wants the context's own error and no sentinel.
func (s uploads) uploadCancel(t *testing.T) {
	b := s.bench(t)
	u := b.mustBegin(b.name("a"), store.Head{})
	stored := b.mustStore(u, []byte("x"))
	cancelled, cancel := context.WithCancel(b.Context())
	cancel()
	for op, run := range map[string]func() error{
		"begin":     func() error { _, err := b.Begin(cancelled, b.name("b"), store.Head{}); return err },
		"part":      func() error { _, err := b.Part(cancelled, u, 1, []byte("y")); return err },
		"complete":  func() error { _, err := b.Complete(cancelled, u, stored, store.Conditions{}); return err },
		"abort":     func() error { return b.Abort(cancelled, u) },
		"abandoned": func() error { _, err := b.Abandoned(cancelled, b.folder, time.Now()); return err },
	} {
		err := run()
		if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: the error is %v", op, err)
		}
	}
	b.mustComplete(u, stored)
	b.mustGet(b.name("a"), []byte("x"))
}
