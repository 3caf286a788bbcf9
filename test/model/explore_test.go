package model

import (
	"os"
	"strings"
	"testing"
)

// scenario is what may happen in one exploration.
type scenario struct {
	name   string
	config Config
}

// scenarios are explored in every run: all rules in force, no promise broken.
func scenarios() []scenario {
	return []scenario{
		{"nothing fails but messages", Config{Writes: 3, Lookups: 2, Drifts: 1}},
		{"uploads are given up", Config{Writes: 3, Lookups: 2, Unknown: 2, Drifts: 1}},
		{"the owner is paused", Config{Writes: 3, Lookups: 2, Unknown: 1, Drifts: 1, Pausing: A, Pauses: 2}},
		{"another is paused", Config{Writes: 3, Lookups: 2, Unknown: 1, Drifts: 1, Pausing: C, Pauses: 2}},
		{"the owner is paused and taken for dead", Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2}},
		{"another is paused and taken for dead", Config{Writes: 2, Lookups: 1, Drifts: 1, Pausing: C, Pauses: 1, Returns: 2}},
		{"the owner dies", Config{Writes: 3, Lookups: 2, Drifts: 1, Crashing: A}},
		{"another dies", Config{Writes: 3, Lookups: 2, Drifts: 1, Crashing: C}},
		{"the owner dies while another is paused", Config{Writes: 3, Lookups: 2, Crashing: A, Pausing: B, Pauses: 1}},
		{"a new owner joins", Config{Writes: 2, Joining: A}},
		{"a new owner joins, and a clock drifts", Config{Writes: 1, Lookups: 1, Drifts: 1, Joining: A}},
		{"another joins", Config{Writes: 1, Lookups: 1, Drifts: 1, Joining: C}},
		{"another joins, taken in late", Config{Writes: 1, Lookups: 1, Joining: C, Late: true}},
		{"another joins while the next owner leaves", Config{Writes: 1, Lookups: 1, Joining: C, Leaving: B}},
		{"the owner leaves", Config{Writes: 3, Lookups: 2, Drifts: 1, Leaving: A}},
		{"another leaves", Config{Writes: 3, Lookups: 2, Drifts: 1, Leaving: C}},
		{"the owner leaves while another is paused", Config{Writes: 3, Lookups: 2, Leaving: A, Pausing: C, Pauses: 1}},
		{"the owner leaves and the next dies", Config{Writes: 3, Lookups: 2, Leaving: A, Crashing: B}},
		{"a new owner joins while another is paused", Config{Writes: 1, Lookups: 1, Joining: A, Pausing: C, Pauses: 1}},
		{"a new owner joins while another leaves", Config{Writes: 1, Lookups: 1, Joining: A, Leaving: C}},
		{"a new owner joins while the one before leaves", Config{Writes: 1, Lookups: 1, Joining: A, Leaving: B}},
		{"a new owner joins, taken in late", Config{Writes: 1, Lookups: 1, Joining: A, Late: true}},
		{"the owner is taken for dead, taken in late", Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 3, Late: true}},
	}
}

func large() bool { return os.Getenv("LARDER_MODEL") == "large" }

// larger scenarios take some minutes: LARDER_MODEL=large go test ./test/model
func larger() []scenario {
	return []scenario{
		{"another is paused and taken for dead, more writes", Config{Writes: 3, Lookups: 1, Drifts: 1, Pausing: C, Pauses: 1, Returns: 2}},
		{"the owner is paused and taken for dead, more writes", Config{Writes: 2, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2}},
		{"a new owner joins, two writes", Config{Writes: 2, Lookups: 1, Joining: A}},
		{"the owner is paused and taken for dead, two lookups", Config{Writes: 2, Lookups: 2, Pausing: A, Pauses: 1, Returns: 2}},
		{"a new owner joins, more writes", Config{Writes: 3, Lookups: 1, Drifts: 1, Joining: A}},
		{"another joins while the owner is taken for dead", Config{Writes: 1, Lookups: 1, Joining: C, Pausing: A, Pauses: 1, Returns: 2}},
		{"another joins while the next owner leaves, more writes", Config{Writes: 2, Lookups: 1, Joining: C, Leaving: B}},
		{"another joins, more writes", Config{Writes: 2, Lookups: 1, Drifts: 1, Joining: C}},
		{"a new owner joins and is paused", Config{Writes: 2, Lookups: 1, Joining: A, Pausing: A, Pauses: 1}},
		{"another joins while the owner is paused", Config{Writes: 2, Lookups: 1, Joining: C, Pausing: A, Pauses: 1}},
		{"a new owner joins while another is paused, more writes", Config{Writes: 2, Lookups: 1, Joining: A, Pausing: C, Pauses: 1}},
		{"a new owner joins while another leaves, more writes", Config{Writes: 2, Lookups: 1, Joining: A, Leaving: C}},
		{"a new owner joins while the one before leaves, more writes", Config{Writes: 2, Lookups: 1, Joining: A, Leaving: B}},
	}
}

// TestCourtesies leaves out the rules that the promises do not need, because
// settling mends afterwards what two owners of a moment have done to each other.
// They make that moment less bad: neither writes what neither may trust, and
// what an unsettled member granted is not told for the rest of a lease.
func TestCourtesies(t *testing.T) {
	joins := Config{Writes: 2, Joining: A}
	returns := Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2}
	for _, m := range []struct {
		name  string
		with  Config
		leave Mutations
	}{
		{"no giving way", joins, Mutations{NoGivingWay: true}},
		{"revocation acknowledged during the own upload", joins, Mutations{AckWhileUploading: true}},
		{"a busy member taken for silent", joins, Mutations{BusyIsSilent: true}},
		{"an unsettled member is asked for heads", returns, Mutations{AskUnsettled: true}},
		{"nobody is told right after a change", Config{Writes: 2, Lookups: 1, Leaving: A}, Mutations{CalmAtOnce: true}},
	} {
		t.Run(m.name, func(t *testing.T) {
			m.with.Mutations = m.leave
			if large() {
				m.with.Writes, m.with.Lookups = 2, 1
			}
			if r := Explore(m.with); r.Story != nil {
				t.Errorf("a promise is broken:\n%s", strings.Join(r.Story, "\n"))
			}
		})
	}
}

// TestNotPromised holds the document to what it admits: each of these breaks a
// promise with all rules in force.
func TestNotPromised(t *testing.T) {
	for _, sc := range []scenario{
		{"the next owner does not know of an unknown outcome", Config{Writes: 1, Lookups: 1, Unknown: 1, Joining: A}},
		{"an unsettled member dies with an upload under way", Config{Writes: 1, Lookups: 1, Joining: A, Crashing: B}},
		{"one who was taken for dead writes and dies before it is met", Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 1, Crashing: A}},
	} {
		t.Run(sc.name, func(t *testing.T) {
			r := Explore(sc.config)
			if r.Story == nil {
				t.Fatalf("%d states, and no promise broken: promise it", r.States)
			}
			t.Logf("after %d states:\n%s", r.States, strings.Join(r.Story, "\n"))
		})
	}
}

func TestPromisesHold(t *testing.T) {
	all := scenarios()
	if large() {
		all = append(all, larger()...)
	}
	for _, sc := range all {
		t.Run(sc.name, func(t *testing.T) {
			r := Explore(sc.config)
			t.Logf("%d states", r.States)
			if r.Story != nil {
				t.Errorf("a promise is broken:\n%s", strings.Join(r.Story, "\n"))
			}
		})
	}
}

// TestEveryRuleIsNeeded leaves out one rule at a time. Beside it stands the
// least that must be able to happen for the protocol to break.
func TestEveryRuleIsNeeded(t *testing.T) {
	least := Config{Writes: 1, Lookups: 1}
	for _, m := range []struct {
		name  string
		with  Config // what may happen
		leave Mutations
	}{
		{"a lease that has ended is trusted", least, Mutations{TrustExpired: true}},
		{"an answer past the owner is kept", least, Mutations{KeepPastOwner: true}},
		{"a lease counts from the arrival", least, Mutations{LeaseFromArrival: true}},
		{"a lease for who is no member", Config{Writes: 1, Lookups: 1, Pausing: C, Pauses: 1, Returns: 1}, Mutations{GrantToAnyone: true}},
		{"no wait for a silent member", least, Mutations{NoWaitForSilent: true}},
		{"nobody told though a lease was granted", least, Mutations{ForgetGrants: true}},
		{"nobody told in a ring that is not taken in", Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 3, Late: true}, Mutations{CalmBeforeTakingIn: true}},
		{"no margin for drift", Config{Writes: 1, Lookups: 1, Drifts: 1}, Mutations{NoMarginForDrift: true}},
		{"no wait for a member that died lately", Config{Writes: 1, Lookups: 1, Pausing: C, Pauses: 1, Returns: 2}, Mutations{NoWaitForDeparted: true}},
		{"upload before the revocation is complete", least, Mutations{UploadBeforeRevoked: true}},
		{"lease granted while writing", least, Mutations{LeaseWhileWriting: true}},
		{"own head trusted while writing", least, Mutations{TrustWhileWriting: true}},
		{"published although it settled meanwhile", Config{Writes: 2, Joining: A}, Mutations{PublishDisturbed: true}},
		{"ownership not checked after the mark", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{NoCheckAfterMark: true}},
		{"no mark after an unknown outcome", Config{Writes: 1, Lookups: 1, Unknown: 1}, Mutations{NoMark: true}},
		{"the next write takes the mark away", Config{Writes: 2, Lookups: 1, Unknown: 1}, Mutations{MarkEndsWithWrite: true}},
		{"an answer asked for under the mark is kept", Config{Writes: 1, Lookups: 1, Unknown: 1}, Mutations{KeepAskedUnderMark: true}},
		{"a late answer is kept", least, Mutations{StoreLate: true}},
		{"a reader joins a lookup from before the revocation", least, Mutations{JoinRevoked: true}},
		{"a joiner takes an answer that was not kept", least, Mutations{JoinUnkept: true}},
		{"heads kept when a member comes", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{KeepWhenMemberComes: true}},
		{"heads that rested are trusted for whoever came", Config{Writes: 1, Lookups: 1, Joining: C}, Mutations{TrustUnvouched: true}},
		{"who wrote before it came vouches", Config{Writes: 1, Lookups: 1, Joining: C}, Mutations{VouchAfterWriting: true}},
		{"a newcomer trusts before it has settled", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{TrustUnsettled: true}},
		{"a member settles without waiting for its uploads", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{SettleWhileUploading: true}},
		{"an answer from before it settled is kept", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{KeepAcrossSettling: true}},
		{"one asked to settle does not forget", Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2}, Mutations{KeepWhenAsked: true}},
		{"left without forgetting", Config{Writes: 1, Lookups: 1, Leaving: C}, Mutations{LeaveWithoutForgetting: true}},
		{"lookups shared while leaving", Config{Writes: 1, Lookups: 1, Leaving: C}, Mutations{ShareWhileLeaving: true}},
	} {
		t.Run(m.name, func(t *testing.T) {
			if r := Explore(m.with); r.Story != nil {
				t.Fatalf("broken with all rules in force:\n%s", strings.Join(r.Story, "\n"))
			}
			m.with.Mutations = m.leave
			r := Explore(m.with)
			if r.Story == nil {
				t.Fatalf("%d states, and no promise broken", r.States)
			}
			t.Logf("after %d states:\n%s", r.States, strings.Join(r.Story, "\n"))
		})
	}
}
