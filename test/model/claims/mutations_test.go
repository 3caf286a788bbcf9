package claims

import (
	"strings"
	"testing"
)

// TestEveryRuleIsNeeded leaves out one rule at a time. Beside it stands the
// least that must be able to happen for the claims to break.
func TestEveryRuleIsNeeded(t *testing.T) {
	least := Config{Callers: 2, At: apart()}
	joins := Config{Callers: 2, At: [3]Node{C, A}, Joining: A}
	leaves := Config{Callers: 2, At: [3]Node{A, C}, Leaving: A.bit()}
	for _, m := range []struct {
		name  string
		with  Config // what may happen
		leave Mutations
	}{
		{"a second claim beside the live one", least, Mutations{GrantBesideLive: true}},
		{"a grant on a look from before the claim ended", joins, Mutations{GrantOnOldLook: true}},
		{"a grant although a write ended during the look", Config{Callers: 1, At: apart(), Old: true, Deletes: 1, Via: C}, Mutations{IgnoreWriteInLook: true}},
		{"a put over something else than the base", Config{Callers: 1, At: apart(), Unknown: 1}, Mutations{NoCondition: true}},
		{"a put after a write of which the owner knows", Config{Callers: 1, At: apart(), Puts: 1, Deletes: 1, Via: C}, Mutations{ForgetEnded: true}},
		{"a repeat is refused", Config{Callers: 1, At: apart(), Repeats: 1}, Mutations{RefuseOwn: true}},
		{"a write ends nothing", Config{Callers: 2, At: apart(), Puts: 1, Via: C}, Mutations{EndNothing: true}},
		{"a new owner is not told of a write", Config{Callers: 2, At: together(), Joining: A, Puts: 1, Via: B}, Mutations{TellNoNewOwner: true}},
		{"an overtaken question counts", Config{Callers: 1, At: apart(), Cuts: 1, Strays: 1}, Mutations{Unnumbered: true}},
		{"who is attached is gone between two questions", least, Mutations{GoneBetweenAsking: true}},
		{"the claim of a dead builder is kept", Config{Callers: 2, At: apart(), Deaths: 1}, Mutations{HoldForGone: true}},
		{"a claim is passed on under its write", Config{Callers: 2, At: apart(), Cuts: 1}, Mutations{PassOnMarked: true}},
		{"a grant is taken in another ring", leaves, Mutations{TakeInNewRing: true}},
		{"a grant is taken after the answer to a new owner", Config{Callers: 2, At: apart(), Pausing: A, Returns: 1}, Mutations{TakeAfterReport: true}},
		{"a grant is taken by who was away", Config{Callers: 2, At: apart(), Cuts: 1}, Mutations{TakeAfterBreak: true}},
		{"a new owner asks nobody", joins, Mutations{GrantUnasked: true}},
		{"a member answers who sees others", Config{Callers: 2, At: apart(), Crashing: A}, Mutations{AnswerInOtherRing: true}},
		{"an overtaken answer counts", joins, Mutations{UnnumberedReport: true}},
		{"who was away asks nobody", Config{Callers: 2, At: [3]Node{C, A}, Pausing: A, Returns: 2}, Mutations{ForgetNothingAway: true}},
		{"a former owner keeps its claims", leaves, Mutations{KeepForeign: true}},
		{"a leaver gives up what its callers hold", leaves, Mutations{LeaveAsGiveUp: true}},
		{"a leaver waits for nobody", leaves, Mutations{LeaveBeforeThey: true}},
		{"two leavers rely on each other", Config{Callers: 2, At: [3]Node{A, C}, Leaving: A.bit() | B.bit()}, Mutations{LeavingElsewhere: true}},
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

// TestCourtesies leaves out rules that the promises do not need. They spare a build of
// what another caller is putting just then, and a look: a builder whose put was refused
// ends its stream, and the look that follows finds the value.
func TestCourtesies(t *testing.T) {
	for _, m := range []struct {
		name  string
		with  Config
		leave Mutations
	}{
		{"a grant while another's write is marked", Config{Callers: 2, At: apart(), Puts: 1, Via: C}, Mutations{GrantUnderMark: true}},
		{"a put is refused in silence", Config{Callers: 2, At: apart(), Unknown: 1, Deaths: 1}, Mutations{RefuseInSilence: true}},
	} {
		t.Run(m.name, func(t *testing.T) {
			m.with.Mutations = m.leave
			if r := Explore(m.with); r.Story != nil {
				t.Errorf("a promise is broken:\n%s", strings.Join(r.Story, "\n"))
			}
		})
	}
}
