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
		{"the owner is paused and taken for dead", Config{Writes: 2, Lookups: 2, Pausing: A, Pauses: 1, Returns: 2}},
		{"another is paused and taken for dead", Config{Writes: 3, Lookups: 2, Drifts: 1, Pausing: C, Pauses: 1, Returns: 2}},
		{"the owner dies", Config{Writes: 3, Lookups: 2, Drifts: 1, Crashing: A}},
		{"another dies", Config{Writes: 3, Lookups: 2, Drifts: 1, Crashing: C}},
		{"the owner dies while another is paused", Config{Writes: 3, Lookups: 2, Crashing: A, Pausing: B, Pauses: 1}},
		{"a new owner joins", Config{Writes: 2, Lookups: 2, Drifts: 1, Joining: A}},
		{"another joins", Config{Writes: 2, Lookups: 2, Drifts: 1, Joining: C}},
		{"the owner leaves", Config{Writes: 3, Lookups: 2, Drifts: 1, Leaving: A}},
		{"another leaves", Config{Writes: 3, Lookups: 2, Drifts: 1, Leaving: C}},
		{"the owner leaves while another is paused", Config{Writes: 3, Lookups: 2, Leaving: A, Pausing: C, Pauses: 1}},
		{"the owner leaves and the next dies", Config{Writes: 3, Lookups: 2, Leaving: A, Crashing: B}},
		{"a new owner joins while another is paused", Config{Writes: 2, Lookups: 2, Joining: A, Pausing: C, Pauses: 1}},
		{"a new owner joins while another leaves", Config{Writes: 2, Lookups: 2, Joining: A, Leaving: C}},
	}
}

// larger scenarios take a minute or two: LARDER_MODEL=large go test ./model
func larger() []scenario {
	return []scenario{
		{"the owner is paused and taken for dead, more writes", Config{Writes: 3, Lookups: 2, Drifts: 1, Pausing: A, Pauses: 2, Returns: 2}},
		{"a new owner joins, more writes", Config{Writes: 4, Lookups: 2, Drifts: 1, Joining: A}},
		{"a new owner joins and is paused", Config{Writes: 3, Lookups: 2, Joining: A, Pausing: A, Pauses: 2}},
		{"another joins while the owner is paused", Config{Writes: 3, Lookups: 2, Joining: C, Pausing: A, Pauses: 2}},
		{"a new owner joins while the one before leaves", Config{Writes: 3, Lookups: 2, Joining: A, Leaving: B}},
	}
}

// Giving way is not needed for the promises: the second revocation, and
// forgetting when members meet, mend what a writer does who goes on. It keeps
// two owners of a moment from both writing what neither may trust.
func TestGivingWayIsACourtesy(t *testing.T) {
	for _, c := range []Config{
		{Writes: 2, Lookups: 1, Joining: A},
		{Writes: 2, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2},
	} {
		c.NoGivingWay = true
		if r := Explore(c); r.Story != nil {
			t.Errorf("a promise is broken:\n%s", strings.Join(r.Story, "\n"))
		}
	}
}

func TestPromisesHold(t *testing.T) {
	all := scenarios()
	if os.Getenv("LARDER_MODEL") == "large" {
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
		{"no wait for a silent member", least, Mutations{NoWaitForSilent: true}},
		{"no margin for drift", Config{Writes: 1, Lookups: 1, Drifts: 1}, Mutations{NoMarginForDrift: true}},
		{"no wait for a member that died lately", Config{Writes: 1, Lookups: 1, Pausing: C, Pauses: 1, Returns: 2}, Mutations{NoWaitForDeparted: true}},
		{"upload before the revocation is complete", least, Mutations{UploadBeforeRevoked: true}},
		{"lease granted while writing", least, Mutations{LeaseWhileWriting: true}},
		{"own head trusted while writing", least, Mutations{TrustWhileWriting: true}},
		{"revocation acknowledged during the own upload", Config{Writes: 2, Lookups: 1, Joining: A}, Mutations{AckWhileUploading: true}},
		{"published although another owner wrote meanwhile", Config{Writes: 2, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2}, Mutations{PublishDisturbed: true}},
		{"no second revocation after a change of the ring", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{NoSecondRevoke: true}},
		{"no mark after an unknown outcome", Config{Writes: 1, Lookups: 1, Unknown: 1}, Mutations{NoUnsettledMark: true}},
		{"the next write takes the mark away", Config{Writes: 2, Lookups: 1, Unknown: 1}, Mutations{NextWriteSettles: true}},
		{"an answer asked for under the mark is kept", Config{Writes: 1, Lookups: 1, Unknown: 1}, Mutations{StoreUnsettled: true}},
		{"a late answer is kept", least, Mutations{StoreLate: true}},
		{"a reader joins a lookup from before the revocation", least, Mutations{JoinRevoked: true}},
		{"a reader joins a lookup without a lease", least, Mutations{JoinWithoutLease: true}},
		// One alone of these two does not break a promise: whoever meets a member
		// makes it forget, and a member that is met forgets by itself.
		{"heads kept when a member comes", Config{Writes: 1, Lookups: 1, Joining: A}, Mutations{KeepWhenMemberComes: true, KeepWhenTakenForDead: true}},
		{"heads kept by one that was taken for dead", Config{Writes: 1, Lookups: 1, Pausing: A, Pauses: 1, Returns: 2}, Mutations{KeepWhenTakenForDead: true}},
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
