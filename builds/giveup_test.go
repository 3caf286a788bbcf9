package builds

import (
	"errors"
	"testing"
	"time"

	"larder/keys"
)

// Rule 24: who has no token of it may end his own claim, an admin that of anybody, and
// each only the one that was meant.
func TestEnding(t *testing.T) {
	b := newBench(t)
	if err := b.tbl.end(b.now, key, Ending{User: "user of w1"}, Verdict{}); !errors.Is(err, ErrLost) {
		t.Errorf("what nobody builds was ended: %v", err)
	}
	b.say("A", who("w1"), who("w2"), who("w3"))
	c := b.takes("A", "w1")
	b.say("A", c, who("w2"), who("w3"))
	since := c.Claim.Granted
	for _, e := range []Ending{{User: "user of w2", Since: since}, {User: "user of w1", Since: since + 1}, {User: "user of w1"}} {
		if err := b.tbl.end(b.now, key, e, Verdict{}); err == nil {
			t.Fatalf("%+v ended the claim of another", e)
		}
	}
	b.want("A", "w1", Granted)
	if err := b.tbl.end(b.now, key, Ending{User: "user of w1", Since: since}, Verdict{}); err != nil {
		t.Fatal(err)
	}
	b.pass(time.Second)
	b.look()
	b.want("A", "w1", Lost)
	next := b.takes("A", "w2")
	b.say("A", next, who("w3"))
	if err := b.tbl.end(b.now, key, Ending{User: "grace", Any: true, Since: since}, Verdict{}); !errors.Is(err, ErrLost) {
		t.Errorf("what was ended before was ended again: %v", err)
	}
	b.want("A", "w2", Granted)
	b.tbl.notes = nil
	if err := b.tbl.end(b.now, key, Ending{User: "grace", Any: true, Since: next.Claim.Granted}, Verdict{Kind: Failed, Error: "ended by grace"}); err != nil {
		t.Fatal(err)
	}
	b.want("A", "w2", Lost)
	if v := b.want("A", "w3", Failed); v.Builder != "user of w2" || v.Error != "ended by grace" {
		t.Errorf("who waited is told %+v", v)
	}
	if n := b.tbl.notes[0]; n.user != "grace" || n.verdict != "claim-ended" || n.detail != "that of user of w2" {
		t.Errorf("auditors are told %+v", n)
	}
}

// Rule 26: an owner who does not know yet who builds does not say that nobody does.
func TestEndingAtANewOwner(t *testing.T) {
	b := newBench(t)
	b.tbl.ringChanged(b.now, b.tbl.ring+1, func(keys.Key) bool { return true }, func(string) bool { return true })
	if err := b.tbl.end(b.now, key, Ending{User: "ada", Since: 1}, Verdict{}); !errors.Is(err, errUnasked) {
		t.Errorf("a new owner says %v", err)
	}
	b.tbl.allAsked(b.now, b.tbl.ring)
	if err := b.tbl.end(b.now, key, Ending{User: "ada", Since: 1}, Verdict{}); !errors.Is(err, ErrLost) {
		t.Errorf("an owner who knows says %v", err)
	}
}

// A failure is told to all but the builder's own user and who wants to try again, and
// forgotten after a while. What cannot be stored is told to that user as well.
func TestFailure(t *testing.T) {
	for _, kind := range []Kind{Failed, Unstored} {
		b := newBench(t)
		b.say("A", who("w1"))
		c := b.want("A", "w1", Granted).Claim
		b.say("B", who("w2"))
		if err := b.tbl.giveUp(b.now, key, *c, Verdict{Kind: kind, Error: "boom"}); err != nil {
			t.Fatal(err)
		}
		if v := b.want("B", "w2", kind); v.Error != "boom" || v.Builder != c.User || v.Left != remembered.Seconds() {
			t.Errorf("told: %+v", v)
		}
		b.say("B")
		b.say("A")
		same, again := who("same"), who("again")
		same.User, again.Retry = c.User, true
		b.say("C", who("w3"))
		b.want("C", "w3", kind)
		b.say("C", same)
		if kind == Failed {
			b.want("C", "same", Granted)
		} else {
			b.want("C", "same", kind)
		}
		b.say("C", again)
		b.want("C", "again", Granted)
		b.say("C")
		b.pass(remembered)
		b.say("C", who("w4"))
		b.want("C", "w4", Granted)
	}
}
