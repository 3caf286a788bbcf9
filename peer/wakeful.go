package peer

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// A process that is stopped for longer than stopLimit may be taken for dead, and
// what it was asked may have been asked of somebody else since. wakeInterval is
// how often it looks at the clock.
const (
	stopLimit    = time.Second
	wakeInterval = stopLimit / 4
)

// wakeful knows by this node's own clock when the process was stopped last.
// Whoever asks first after a stop finds it out, so that nobody is told of the
// time before. A process that has no time to run counts as stopped too.
type wakeful struct {
	mu   sync.Mutex // guards the fields below
	last time.Time  // when the process was seen to run
	woke time.Time  // the end of the last stop
}

func newWakeful() *wakeful { return &wakeful{last: time.Now()} }

// watch looks at the clock until ctx ends.
func (w *wakeful) watch(ctx context.Context) {
	w.look(time.Now())
	t := time.NewTicker(wakeInterval)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			w.look(now)
		case <-ctx.Done():
			return
		}
	}
}

func (w *wakeful) look(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.last) > stopLimit {
		w.woke = now
	}
	if now.After(w.last) {
		w.last = now
	}
	return w.woke
}

// Woke is when this process last ran again after it was stopped for more than a second;
// zero if it never was.
func (p *Port) Woke() time.Time { return p.wakeful.look(time.Now()) }

// stoppedSince reports whether the process was stopped after t.
func (w *wakeful) stoppedSince(t time.Time) bool { return w.look(time.Now()).After(t) }

// closed reports whether the asker has closed the connection. What is still to
// be read from it hides its end.
func (c *answerConn) closed() bool {
	n, err := peek(c.Conn)
	return n <= 0 && !errors.Is(err, syscall.EAGAIN)
}
