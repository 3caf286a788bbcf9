package writepath

import (
	"context"
	"fmt"
	"sync"

	"larder/keys"
)

// turns lets one writer at a time at each key.
type turns struct {
	mu     sync.Mutex // guards all below, and the fields of each turn
	keys   map[keys.Key]*turn
	closed bool
	active sync.WaitGroup // writers that hold a turn or wait for one
}

// turn is the state of the writers of one key.
type turn struct {
	token    chan struct{} // holds one element while somebody writes
	writers  int           // who hold the token or wait for it
	gaveWay  bool          // the holder was revoked before it reached the store
	uploaded chan struct{} // not nil while the holder is changing the store; then closed
}

// take waits for the turn of a writer of k, who gives it back with done.
func (t *turns) take(ctx context.Context, k keys.Key) (*turn, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, errNotOwner
	}
	w := t.keys[k]
	if w == nil {
		w = &turn{token: make(chan struct{}, 1)}
		t.keys[k] = w
	}
	w.writers++
	t.active.Add(1)
	t.mu.Unlock()

	select {
	case w.token <- struct{}{}:
		return w, nil
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		t.leave(k, w)
		return nil, fmt.Errorf("wait for the writers of %s: %w: %w", k, ErrNotApplied, ctx.Err())
	}
}

// done ends a turn.
func (t *turns) done(k keys.Key, w *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.uploaded != nil {
		close(w.uploaded)
	}
	w.uploaded, w.gaveWay = nil, false
	<-w.token
	t.leave(k, w)
}

// leave counts a writer out. The caller holds mu.
func (t *turns) leave(k keys.Key, w *turn) {
	t.active.Done()
	if w.writers--; w.writers == 0 {
		delete(t.keys, k)
	}
}

// upload says that the holder of the turn is about to change the store, unless
// it was told to give way.
func (t *turns) upload(w *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.gaveWay {
		return false
	}
	w.uploaded = make(chan struct{})
	return true
}

// giveWay tells a writer of k that another node is writing it. If the writer is
// changing the store already, the channel is closed when that is over.
func (t *turns) giveWay(k keys.Key) (uploaded <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.keys[k]
	switch {
	case w == nil:
		return nil
	case w.uploaded != nil:
		return w.uploaded
	default:
		w.gaveWay = true
		return nil
	}
}

// uploads returns, for each key whose writer is changing the store, the channel
// that is closed when that is over.
func (t *turns) uploads() (under []<-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.keys {
		if w.uploaded != nil {
			under = append(under, w.uploaded)
		}
	}
	return under
}

// close refuses new writers and waits for the others.
func (t *turns) close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	idle := make(chan struct{})
	go func() { t.active.Wait(); close(idle) }() // ends: every write is bounded
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for writes under way: %w", ctx.Err())
	}
}
