package peer

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"larder/test/testcluster"
)

// A stop is known to who looks first after it, and counts for what began before.
func TestStopsAreSeen(t *testing.T) {
	began := time.Now()
	w := &wakeful{last: began}
	for _, step := range []struct {
		after time.Duration
		woke  time.Duration
	}{
		{wakeInterval, 0}, {wakeInterval + stopLimit, 0}, // busy, perhaps
		{10 * time.Second, 10 * time.Second}, {10*time.Second + wakeInterval, 10 * time.Second},
		{10 * time.Second, 10 * time.Second},                               // an earlier look that comes late
		{11*time.Second + 2*wakeInterval, 11*time.Second + 2*wakeInterval}, // stopped again
	} {
		woke := w.look(began.Add(step.after))
		if step.woke == 0 && !woke.IsZero() || step.woke > 0 && !woke.Equal(began.Add(step.woke)) {
			t.Errorf("after %s: the last stop ended after %s", step.after, woke.Sub(began))
		}
	}
	now := &wakeful{last: time.Now().Add(-time.Hour)}
	if !now.stoppedSince(time.Now().Add(-time.Minute)) || now.stoppedSince(time.Now().Add(time.Minute)) {
		t.Error("a stop that ends now is not what it is")
	}
}

// A question is abandoned when its asker has closed the connection, or when the
// process was stopped since it began to wait for it; and no other is.
func TestAbandonedQuestions(t *testing.T) {
	asked, left := make(chan Asked, 1), make(chan struct{})
	owner := start(t, "owner", func(p *Port) {
		p.Handle("abandoned", func(_ context.Context, a Asked) Answer {
			return Answer{Status: http.StatusOK, Text: fmt.Append(nil, a.Abandoned())}
		})
		p.Handle("wait", func(_ context.Context, a Asked) Answer {
			asked <- a
			<-left
			return Answer{Status: http.StatusOK}
		})
	})
	n := start(t, "asker")
	is := func(want string) {
		t.Helper()
		if a, err := ask(t.Context(), n, owner.self, Question{Route: "abandoned", Once: true}); err != nil || string(a.Text) != want {
			t.Errorf("abandoned: %q, %v", a.Text, err)
		}
	}
	is("false")
	owner.wakeful.mu.Lock()
	owner.wakeful.last = time.Now().Add(-time.Hour) // it was stopped, while it waited on the connection
	owner.wakeful.mu.Unlock()
	is("true")
	is("false") // it has waited anew

	ctx, leave := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := ask(ctx, n, owner.self, Question{Route: "wait", Once: true})
		failed <- err
	}()
	a := <-asked
	if a.Abandoned() {
		t.Error("abandoned while the asker waits")
	}
	leave()
	if err := <-failed; err == nil {
		t.Error("answered who had left")
	}
	testcluster.Soon(t, func() error {
		if !a.Abandoned() {
			return fmt.Errorf("not abandoned after the asker has left")
		}
		return nil
	})
	close(left)
	if (Asked{}).Abandoned() {
		t.Error("a question of no connection is abandoned")
	}
}
