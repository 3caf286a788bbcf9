package heads

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Rule 15: who comes may have written, and told nobody here.
func TestAMemberComes(t *testing.T) {
	for name, hold := range map[string]func(*node, *testing.T, string){"owned": (*node).owns, "granted": (*node).holds} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, net *network) {
				a, _ := pair(t, net)
				hold(a, t, "v1")
				asked := a.Now(key())
				a.sees("a", "b", "c")
				a.want(t, "")
				if !a.Unsettled("c") || a.Unsettled("b") || a.Settled() {
					t.Errorf("%+v", *a.unsettled.Load())
				}
				if a.KeepOwned(key(), asked, is("v1")) || a.KeepLease(key(), asked, is("v1"), lease) {
					t.Error("kept what was asked for before")
				}
				if a.KeepOwned(key(), a.Now(key()), is("v1")) {
					t.Error("trusted as owner with an unsettled member")
				}
			})
		})
	}
}

// Rule 15: who goes takes nothing along but what is owned no longer.
func TestAMemberGoes(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		a.owns(t, "v1")
		b.holds(t, "v1")
		asked := b.Now(key())
		a.sees("a")
		a.want(t, "v1")
		b.sees("b")
		b.want(t, "v1")
		if b.KeepLease(key(), asked, is("v1"), lease) {
			t.Error("kept what was asked for before")
		}
		a.sees() // its own ring
		a.sees("elsewhere")
		a.want(t, "")
	})
}

// Rule 16: nobody is believed before it has answered, and it is asked until it does.
func TestSettling(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a := net.add(t, "a", "a")
		if !a.Settled() {
			t.Fatal("not settled with itself")
		}
		a.sees("a", "b")
		time.Sleep(time.Minute)
		if a.Settled() {
			t.Fatal("settled with who cannot be reached")
		}
		b := net.add(t, "b", "b") // and is no member there
		time.Sleep(time.Minute)
		if a.Settled() || a.KeepOwned(key(), a.Now(key()), is("v1")) {
			t.Fatal("settled with who does not know of it")
		}
		b.sees("a", "b")
		time.Sleep(time.Minute)
		if !a.Settled() || !b.Settled() {
			t.Fatal("not settled")
		}
		if len(b.heard) < 1000 {
			t.Errorf("was asked %d times in a minute", len(b.heard))
		}
		a.owns(t, "v1")
	})
}

// Rule 16: an answer waits for the uploads that are marked.
func TestSettlingWaitsForUploads(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		_, b := pair(t, net)
		w := b.intrude(t)
		c := net.add(t, "c", "b", "c")
		b.sees("a", "b", "c")
		time.Sleep(time.Minute)
		if !c.Unsettled("b") {
			t.Error("settled during an upload")
		}
		w.End(Outcome{})
		time.Sleep(time.Minute)
		if !c.Settled() {
			t.Error("not settled after the upload")
		}
	})
}

// Rule 16: what was asked for before the settling is not kept after it.
func TestNothingIsKeptAcrossSettling(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a := net.add(t, "a", "a", "b")
		asked := a.Now(key())
		net.add(t, "b", "a", "b")
		time.Sleep(time.Second)
		if !a.Settled() {
			t.Fatal("not settled")
		}
		if a.KeepOwned(key(), asked, is("v1")) {
			t.Error("kept")
		}
		a.owns(t, "v1")
	})
}

// Rule 16: who dies or leaves is waited for no more, and a member that comes again is
// settled with again, whatever answer is on its way.
func TestWhoGoesIsWaitedForNoMore(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a := net.add(t, "a", "a", "b")
		was := (*a.unsettled.Load())["b"]
		a.sees("a")
		if !a.Settled() {
			t.Error("still waits")
		}
		a.sees("a", "b")
		a.settled(was, "")
		if a.Settled() {
			t.Error("settled by an answer from before")
		}
	})
}

// Rule 17: who is asked to settle by a member that it knew was away.
func TestWhoWasAway(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		a.owns(t, "v1")
		w := b.intrude(t)
		heard := len(b.heard)
		asked := a.Now(key())
		go func() { _ = a.ask(t.Context(), "b", settleRoute, "") }()
		synctest.Wait()
		a.want(t, "")
		if a.KeepOwned(key(), asked, is("v1")) || a.KeepOwned(key(), a.Now(key()), is("v1")) || !a.Unsettled("b") {
			t.Error("trusts what another owner may have written over")
		}
		time.Sleep(time.Second)
		if a.Settled() {
			t.Error("did not wait for the other's upload")
		}
		w.End(Outcome{})
		time.Sleep(time.Second)
		if !a.Settled() || !b.Settled() {
			t.Error("did not settle back")
		}
		if !slices.Contains(b.heard[heard:], settleBack) || slices.Contains(b.heard[heard:], "") {
			t.Errorf("asked in return with %q", b.heard[heard:])
		}
		a.owns(t, "v2")
	})
}

// Rule 17: who is asked in return forgets nothing.
func TestWhoIsAskedInReturn(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.owns(t, "v1")
		if got := a.ask(t.Context(), "b", settleRoute, settleBack); got.Status != http.StatusOK {
			t.Errorf("status %d", got.Status)
		}
		a.want(t, "v1")
		if !a.Settled() {
			t.Error("unsettled")
		}
	})
}
