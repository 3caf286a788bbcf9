package writepath

import (
	"context"
	"errors"
	"testing"

	"larder/keys"
)

func newTurns() *turns { return &turns{keys: map[keys.Key]*turn{}} }

func TestTurnsOneAtATime(t *testing.T) {
	ts, k := newTurns(), keys.Key{Name: "k"}
	first, err := ts.take(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ts.take(ctx, k); !errors.Is(err, ErrNotApplied) {
		t.Errorf("a second writer got %v", err)
	}
	if other, err := ts.take(t.Context(), keys.Key{Name: "other"}); err == nil {
		ts.done(keys.Key{Name: "other"}, other)
	} else {
		t.Errorf("a writer of another key got %v", err)
	}
	ts.done(k, first)
	if len(ts.keys) != 0 {
		t.Errorf("%d keys are still held", len(ts.keys))
	}
}

func TestGiveWayBeforeTheUpload(t *testing.T) {
	ts, k := newTurns(), keys.Key{Name: "k"}
	if ts.giveWay(k) != nil {
		t.Error("nobody writes, and there is something to wait for")
	}
	w, err := ts.take(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if ts.giveWay(k) != nil {
		t.Error("nothing is being uploaded, and there is something to wait for")
	}
	if ts.upload(w) {
		t.Error("a write that was told to give way went on")
	}
	ts.done(k, w)
	if w, err = ts.take(t.Context(), k); err != nil || !ts.upload(w) {
		t.Errorf("the next write did not go on: %v", err)
	}
	ts.done(k, w)
}

func TestGiveWayDuringTheUpload(t *testing.T) {
	ts, k := newTurns(), keys.Key{Name: "k"}
	w, err := ts.take(t.Context(), k)
	if err != nil || !ts.upload(w) {
		t.Fatal(err)
	}
	uploaded := ts.giveWay(k)
	select {
	case <-uploaded:
		t.Fatal("the upload is said to be over")
	default:
	}
	ts.done(k, w)
	<-uploaded
}

func TestClosedTurns(t *testing.T) {
	ts, k := newTurns(), keys.Key{Name: "k"}
	w, err := ts.take(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ts.close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close with a writer under way: %v", err)
	}
	if _, err := ts.take(t.Context(), k); !errors.Is(err, errNotOwner) {
		t.Errorf("a new writer got %v", err)
	}
	ts.done(k, w)
	if err := ts.close(t.Context()); err != nil {
		t.Error(err)
	}
}
