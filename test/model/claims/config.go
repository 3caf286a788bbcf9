package claims

// Config bounds what may happen, and says which rules are left out.
type Config struct {
	Callers int     // who come, 1 to 3
	At      [3]Node // where each comes
	PutVia  Node    // through whom values are put; Nobody is who the caller is attached to
	Old     bool    // S3 holds an older version than anybody wants at first, instead of none

	Joining  Node    // who is alone at first
	Leaving  members // who may leave
	Crashing Node    // who may die
	Pausing  Node    // who may be paused once
	Returns  int     // members that may be taken for dead while they are paused, each by each other member

	Cuts    int // streams that may break
	Deaths  int // callers that may die
	Failing int // builds that may be given up
	Lost    int // answers to questions that may be lost
	Strays  int // questions that may be overtaken by later ones
	Slow    int // bounds of time that may end before what they wait for has come

	Repeats int  // answers to a put that its caller may miss, so that it is put again
	Unknown int  // puts that an owner may give up on while S3 may still apply them
	Puts    int  // plain puts of another caller
	Deletes int  // plain deletes of another caller
	Via     Node // through whom these come

	Mutations
}

// Mutations are rules of docs/protocol.md left out, one a field, whose comment names
// the rule.
type Mutations struct {
	GrantBesideLive   bool // rule 20: grants though it knows of a live claim
	GrantOnOldLook    bool // rule 20: grants on a look that began before the waiter came
	IgnoreWriteInLook bool // rule 20: grants on a look though a write of the key ended since it began
	GrantUnderMark    bool // rule 20: grants while a write of the key is marked
	NoCondition       bool // rule 21: writes though the key does not hold the base any more
	ForgetEnded       bool // rule 21: writes though it knows that the claim was ended by a write
	RefuseOwn         bool // rule 21: refuses a repeat though the object of its own claim is there
	EndNothing        bool // rule 22: a write that changes the key ends no claim and wakes nobody
	TellNoNewOwner    bool // rule 22: does not tell the new owner of a write that came through the node
	RefuseInSilence   bool // rule 22: wakes nobody when the put of the present claim finds a value
	Unnumbered        bool // rule 23: takes a question that was overtaken for the latest
	GoneBetweenAsking bool // rule 23: takes who is attached for gone when the question is answered
	HoldForGone       bool // rule 24: does not pass on the claim of a builder who is gone
	PassOnMarked      bool // rule 24: passes on a claim whose write is marked
	TakeInNewRing     bool // rule 25: takes a grant though the ring has changed since the node asked
	TakeAfterReport   bool // rule 25: takes a grant though it has told a new owner since it asked
	TakeAfterBreak    bool // rule 25: takes a grant though the waiter has been away since the node asked
	GrantUnasked      bool // rule 26: grants before the members have answered
	AnswerInOtherRing bool // rule 26: answers though its members are not those of the asker
	UnnumberedReport  bool // rule 26: takes an answer that was overtaken by a question for the latest
	ForgetNothingAway bool // rule 26: asks nobody when it was away without noticing it
	KeepForeign       bool // rule 27: keeps the claims of a key that it does not own any more
	LeaveAsGiveUp     bool // rule 28: names nobody any more when it ends its streams
	LeaveBeforeThey   bool // rule 28: leaves before those who were attached are attached elsewhere
	LeavingElsewhere  bool // rule 28: takes another node that leaves for elsewhere
}
