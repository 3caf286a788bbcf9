package heads

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"larder/cluster"
)

func (n *node) revoked(t *testing.T, by string) int {
	t.Helper()
	return n.ask(t.Context(), by, RevokeRoute, key().Place()).Status
}

// Rule 11: a write that has not reached the store is given up.
func TestAWriteGivesWay(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		w := a.begin(t)
		if status := a.revoked(t, "b"); status != http.StatusNoContent {
			t.Errorf("status %d", status)
		}
		if w.Upload(time.Now()) == nil {
			t.Error("a write that was told to give way went on")
		}
		w.End(Outcome{})
		a.upload(t).End(Outcome{}) // the next goes on
	})
}

// Rule 11: an upload is waited for, and who waits too long for that is busy.
func TestAnUploadIsWaitedFor(t *testing.T) {
	for took, want := range map[time.Duration]int{busyWithin - 1: http.StatusNoContent, busyWithin + 1: http.StatusConflict} {
		in(t, func(t *testing.T, net *network) {
			a, _ := pair(t, net)
			w := a.upload(t)
			began := time.Now()
			status := make(chan int, 1)
			go func() { status <- a.revoked(t, "b") }()
			synctest.Wait()
			if len(status) != 0 {
				t.Error("acknowledged during the upload")
			}
			time.Sleep(took)
			w.End(done("v1"))
			if got := <-status; got != want || time.Since(began) > busyWithin+1 {
				t.Errorf("status %d after %s", got, time.Since(began))
			}
			if want == http.StatusNoContent {
				a.want(t, "") // the peer is about to write
			}
			if s := a.Stats(); s.Dropped+s.Refused != 1 || s.Refused == 1 != (want == http.StatusConflict) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Rule 11: who was seen dead and is back is acknowledged once it has settled.
func TestWhoIsBackSettlesFirst(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		a.sees("a", "b", "new")
		if status := a.revoked(t, "new"); status != http.StatusNoContent {
			t.Errorf("a newcomer: %d", status)
		}
		a.sees("a") // and b knows nothing of that
		a.mu.Lock()
		a.gone = []cluster.Departure{{Member: b.Self(), At: time.Now()}}
		a.mu.Unlock()
		w := b.intrude(t)
		a.sees("a", "b") // and waits for its upload
		time.Sleep(time.Second)
		if status := a.revoked(t, "b"); status != http.StatusServiceUnavailable {
			t.Errorf("who is back: %d", status)
		}
		w.End(Outcome{})
		time.Sleep(time.Second)
		if status := a.revoked(t, "b"); status != http.StatusNoContent {
			t.Errorf("who has settled: %d", status)
		}
	})
}

// intrude has a node upload that is not the owner.
func (n *node) intrude(t *testing.T) *Turn {
	t.Helper()
	n.mu.Lock()
	view := n.view
	n.view = []string{n.id}
	n.mu.Unlock()
	w := n.upload(t)
	n.mu.Lock()
	n.view = view
	n.mu.Unlock()
	return w
}

func TestWhatIsNoPlaceIsRefused(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		if got := a.ask(t.Context(), "b", RevokeRoute, "nonsense"); got.Status != http.StatusBadRequest {
			t.Errorf("%d %s", got.Status, got.Text)
		}
	})
}

// Rule 19: a hint drops, and does nothing else.
func TestHints(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		a.Hint([]byte("nonsense"))
		a.want(t, "v1")
		w := a.begin(t)
		a.Hint([]byte(key().Place()))
		if err := w.Upload(time.Now()); err != nil {
			t.Errorf("a write gave way to a hint: %v", err)
		}
		w.End(done("v2"))
		a.want(t, "v2")
		a.Hint([]byte(key().Place()))
		a.want(t, "")
		a.owns(t, "v2")
	})
}
