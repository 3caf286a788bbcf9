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

// Mutations are rules left out, one a field.
type Mutations struct {
	// Of the writer.
	NoWaitForSilent     bool // uploads without waiting for a member that does not acknowledge
	NoMarginForDrift    bool // waits for a lease and not a tick more
	NoWaitForDeparted   bool // does not wait for the lease of a member that it saw die
	UploadBeforeRevoked bool // uploads while the revocation is under way
	LeaseWhileWriting   bool // grants a lease on S3's answer while it writes
	TrustWhileWriting   bool // trusts its own head while it writes
	NoGivingWay         bool // goes on with its write though another owner revoked the key
	AckWhileUploading   bool // acknowledges another owner's revocation before its own upload is over
	BusyIsSilent        bool // waits no longer than a lease for a member that is uploading the key itself
	NoCheckAfterMark    bool // uploads without looking again whether it is the owner
	PublishDisturbed    bool // trusts what it wrote although the ring changed, or it settled, since it began

	// Of an owner whose upload had no known outcome.
	NoMark             bool // trusts heads as if the upload could not happen any more
	MarkEndsWithWrite  bool // lets the end of the next write take the mark away
	KeepAskedUnderMark bool // keeps an answer that was asked for while the mark was there

	// Of the reader.
	StoreLate   bool // keeps an answer although the key was dropped since it was asked for
	JoinRevoked bool // joins a lookup from before the key was dropped, and takes its answer
	JoinUnkept  bool // takes the answer of a lookup that it joined though it was not kept
	AskStranger bool // asks an owner that is a stranger for its head

	// Of the members.
	KeepWhenMemberComes    bool // does not forget its heads when a stranger comes
	KeepWhenAsked          bool // does not forget its heads when it is asked to settle
	TrustUnsettled         bool // trusts the store as owner before it has settled
	KeepAcrossSettling     bool // keeps an answer that it asked for before it had settled
	SettleWhileUploading   bool // answers who settles before its uploads are over
	LeaveWithoutForgetting bool
	ShareWhileLeaving      bool // lets readers join lookups after it has forgotten its heads
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
