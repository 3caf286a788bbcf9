package model

// The ticks of a lease, and of the writer's wait: a lease and what clocks drift.
const (
	leaseTicks = 1
	waitTicks  = 2
)

// Config bounds what may happen, and says which rules are left out.
type Config struct {
	Writes   int // writes that may begin
	Unknown  int // writes that the owner may give up on while S3 may still apply them
	Drifts   int // ticks that one node's clock may miss
	Returns  int // members that may be taken for dead while they are paused, each by each other member
	Pauses   int
	Lookups  int  // under way at once at one node, 1 or 2
	Pausing  Node // who may be paused
	Crashing Node // who may die
	Joining  Node // who is alone at first
	Leaving  Node // who may leave
	Late     bool // a change of the ring is taken in after it has happened, maybe several at once

	// OnlyAcknowledged checks promise (a) alone.
	OnlyAcknowledged bool
	Mutations
}

// Mutations are rules of docs/protocol.md left out, one a field, whose comment names
// the rule.
type Mutations struct {
	// Of the reader.
	TrustExpired     bool // rule 1: trusts what it was granted after the lease has ended
	KeepPastOwner    bool // rule 2: keeps what S3 said in place of the owner
	JoinRevoked      bool // rule 3: joins a lookup from before the key was dropped, and takes its answer
	JoinUnkept       bool // rule 3: takes the answer of a lookup that it joined though it was not kept
	StoreLate        bool // rule 4: keeps an answer although the key was dropped since it was asked for
	LeaseFromArrival bool // rule 4: counts a lease from the arrival of the answer

	// Of the owner.
	TrustUnsettled    bool // rule 5: trusts the store as owner before it has settled
	GrantToAnyone     bool // rule 6: grants a lease to who is no member
	LeaseWhileWriting bool // rule 7: grants a lease on S3's answer while it writes

	// Of the writer.
	TrustWhileWriting   bool // rule 9: trusts its own head while it writes
	NoWaitForSilent     bool // rule 10: uploads without waiting for a member that does not acknowledge
	ForgetGrants        bool // rule 10: tells nobody although a lease may run that it has granted
	CalmBeforeTakingIn  bool // rule 10: tells nobody although its ring has changed, and it has not taken that in
	CalmAtOnce          bool // rule 10: tells nobody although another may have granted a lease before it settled
	NoMarginForDrift    bool // rule 10: waits for a lease and not a tick more
	NoWaitForDeparted   bool // rule 10: does not wait for the lease of a member that it saw die
	UploadBeforeRevoked bool // rule 10: uploads while the revocation is under way
	NoGivingWay         bool // rule 11: goes on with its write though another owner revoked the key
	AckWhileUploading   bool // rule 11: acknowledges another owner's revocation before its own upload is over
	BusyIsSilent        bool // rule 11: waits no longer than a lease for a member that is uploading the key itself
	NoCheckAfterMark    bool // rule 12: uploads without looking again whether it is the owner
	NoMark              bool // rule 13: trusts heads as if an upload of unknown outcome could not happen any more
	MarkEndsWithWrite   bool // rule 13: lets the end of the next write take the mark away
	KeepAskedUnderMark  bool // rule 13: keeps an answer that was asked for while the mark was there
	PublishDisturbed    bool // rule 14: trusts what it wrote although the ring changed, or it settled, since it began

	// Of the members.
	KeepWhenMemberComes    bool // rule 15: does not forget its heads when an unsettled member comes
	TrustUnvouched         bool // rule 15: trusts heads that rested, although the member did not vouch
	AskUnsettled           bool // rule 15: asks an owner that is unsettled for its head
	KeepAcrossSettling     bool // rule 16: keeps an answer that it asked for before it had settled
	SettleWhileUploading   bool // rule 16: answers who settles before its uploads are over
	VouchAfterWriting      bool // rule 16: vouches although it wrote before the asker was in its ring
	KeepWhenAsked          bool // rule 17: does not forget its heads when it is asked to settle
	LeaveWithoutForgetting bool // rule 18: leaves with its heads
	ShareWhileLeaving      bool // rule 18: lets readers join lookups after it has forgotten its heads
}

// Node is one of the three nodes.
type Node uint8

// The nodes. Of the members that a node knows, the first in this order owns the key.
const (
	Nobody Node = iota
	A
	B
	C
)

func (n Node) String() string { return [...]string{"nobody", "A", "B", "C"}[n] }

func (n Node) bit() members { return 1 << n }

// members is a set of nodes.
type members uint8

func (m members) has(n Node) bool { return m&n.bit() != 0 }

// owner is the ring: whom these members hold to be the key's owner.
func (m members) owner() Node {
	for _, n := range [...]Node{A, B, C} {
		if m.has(n) {
			return n
		}
	}
	return Nobody
}
