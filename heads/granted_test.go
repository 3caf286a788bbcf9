package heads

import (
	"testing"
	"time"
)

// mayBeLeased begins and ends a write, and returns whether a lease may have been left.
func (n *node) mayBeLeased(t *testing.T) bool {
	t.Helper()
	w := n.begin(t)
	defer w.End(Outcome{})
	return w.MayBeLeased()
}

// Rule 10: nobody is told of a write where no lease can be left.
func TestMayBeLeased(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		if !a.mayBeLeased(t) {
			t.Error("an owner before may have granted a lease")
		}
		time.Sleep(Outlasts(lease) - 2*time.Second)
		if !a.mayBeLeased(t) {
			t.Error("that lease may run still")
		}
		time.Sleep(2 * time.Second)
		if a.mayBeLeased(t) {
			t.Error("no lease can be left")
		}

		a.owns(t, "v1")
		if _, granted := a.Grant(key(), "b"); granted == 0 {
			t.Fatal("not granted")
		}
		time.Sleep(Outlasts(lease) - time.Second)
		if !a.mayBeLeased(t) {
			t.Error("it has granted a lease")
		}
		time.Sleep(2 * Outlasts(lease))
		if a.mayBeLeased(t) {
			t.Error("the lease that it granted is over")
		}

		w := a.begin(t)
		a.mu.Lock()
		a.saw++ // the ring has changed, and it has not taken that in
		a.mu.Unlock()
		if !w.MayBeLeased() {
			t.Error("it is in another ring than it has taken in")
		}
		a.RingChanged()
		time.Sleep(2 * Outlasts(lease))
		if w.MayBeLeased() {
			t.Error("no lease can be left in that ring")
		}
		w.End(Outcome{})

		a.sees("a", "b", "c") // which cannot be reached
		time.Sleep(2 * Outlasts(lease))
		if !a.mayBeLeased(t) {
			t.Error("a member is unsettled")
		}
		net.add(t, "c", "a", "b", "c")
		b.sees("a", "b", "c")
		time.Sleep(time.Second)
		if !a.Settled() || !a.mayBeLeased(t) {
			t.Error("it has just settled")
		}
		time.Sleep(Outlasts(lease))
		if a.mayBeLeased(t) {
			t.Error("it has settled for as long as a lease")
		}
		a.mu.Lock()
		a.woke = time.Now()
		a.mu.Unlock()
		if !a.mayBeLeased(t) {
			t.Error("it was stopped, and may have been taken for dead")
		}
		time.Sleep(stopDoubted)
		if a.mayBeLeased(t) {
			t.Error("it was stopped long ago, and nobody has asked it to settle")
		}
		go func() { _ = b.ask(t.Context(), "a", settleRoute, "") }()
		_ = a.ask(t.Context(), "b", settleRoute, "") // it was taken for dead
		time.Sleep(time.Second)
		if !a.mayBeLeased(t) {
			t.Error("another owner may have granted a lease while it was away")
		}
	})
}
