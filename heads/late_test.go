package heads

import (
	"net/http"
	"testing"
	"time"

	"larder/cluster"
)

// Rules 15 and 17: a member that was taken for dead and is back, both before that was taken
// in, is asked to settle, and is not vouched for.
func TestAMemberGoesAndIsBack(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		a.owns(t, "v1")
		time.Sleep(time.Second)
		b.mu.Lock()
		b.gone = append(b.gone, cluster.Departure{Member: memberOf("a"), At: time.Now()})
		b.saw += 2
		b.mu.Unlock()
		time.Sleep(time.Second)
		if b.vouch("a") != "" {
			t.Error("it vouches, and may have written as the owner")
		}
		b.RingChanged()
		time.Sleep(time.Second)
		if !a.Settled() || !b.Settled() {
			t.Error("not settled")
		}
		a.want(t, "")
		a.owns(t, "v2")
		b.sees("a", "b") // a death is taken in once
		time.Sleep(time.Second)
		a.want(t, "v2")
	})
}

// Rule 16: who asks to settle before this node has taken in that it came, or after it is gone,
// is told to ask again; the former is nobody who has lost this node.
func TestAskedBeforeItIsTakenIn(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.cfg.WasAway = func() { t.Error("takes itself for one that was away") }
		a.owns(t, "v1")
		a.mu.Lock()
		a.view = []string{"a", "b", "c"}
		a.saw++
		a.mu.Unlock()
		net.add(t, "c", "a", "b", "c")
		time.Sleep(time.Second)
		a.want(t, "v1") // until it is taken in
		a.RingChanged()
		a.want(t, "")
		time.Sleep(time.Second)
		a.want(t, "v1")

		a.mu.Lock()
		a.view = []string{"a", "b"}
		a.saw++
		a.mu.Unlock()
		if got := a.ask(t.Context(), "c", settleRoute, "a,b,c"); got.Status != http.StatusConflict {
			t.Errorf("status %d to who is gone", got.Status)
		}
	})
}
