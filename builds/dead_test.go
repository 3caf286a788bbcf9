package builds

import "testing"

// Rule 23: a node that died keeps its places for a while.
func TestDeadNode(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"))
	holder := b.takes("A", "w1")
	b.say("A", holder)
	b.ring(1, true, "B")
	b.tbl.allAsked(b.now, 1)
	b.pass(absence - tickEvery)
	b.want("B", "w2", Waits)
	b.say("B", who("w2"), holder) // attached again
	b.pass(absence)
	b.want("B", "w1", Granted)
	b.want("B", "w2", Waits)
}

// A node that lives is taken for dead, as one without processor time may be. Its builder
// keeps the claim for as long as one of a dead node; after that there are two. When the node
// is back the older claim is the live one, and of two puts the second is lost.
func TestTakenForDead(t *testing.T) {
	b := newBench(t)
	b.say("n1", who("ada"))
	ada := b.takes("n1", "ada")
	b.say("n1", ada)
	b.say("n2", who("bob"))
	b.ring(1, true, "n2")
	b.tbl.allAsked(b.now, 1)
	b.pass(absence - tickEvery)
	b.want("n2", "bob", Waits)
	b.ring(2, true, "n1", "n2")
	b.say("n1", ada) // in time
	b.tbl.allAsked(b.now, 2)
	b.pass(absence)
	b.want("n2", "bob", Waits)

	b.ring(3, true, "n2")
	b.tbl.allAsked(b.now, 3)
	b.pass(absence)
	bob := b.takes("n2", "bob")
	b.say("n2", bob)
	b.ring(4, true, "n1", "n2")
	b.say("n1", ada) // too late
	b.tbl.allAsked(b.now, 4)
	b.want("n2", "bob", Lost)
	b.put(ada.Claim.Name, "v1")
	if b.tbl.mark(key, bob.Claim.Name) {
		t.Error("the put that comes second is not lost")
	}
}
