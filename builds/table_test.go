package builds

import (
	"errors"
	"testing"
	"time"

	"larder/store"
)

// Rule 20: one claim, for the oldest waiter; its base is what the look found.
func TestGrant(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"))
	c := b.want("A", "w1", Granted).Claim
	if c.Base != (Base{}) || c.User != "user of w1" {
		t.Errorf("the claim is %+v", c)
	}
	b.want("B", "w2", Waits)
}

// Rule 20: a look decides only for those who came before it began, and not if a write
// has ended since.
func TestLookIsNew(t *testing.T) {
	b := newBench(t)
	b.sayOnly("A", who("w1"))
	b.sayOnly("A", who("w1"), who("w2")) // while the look runs
	b.tbl.looks = nil
	b.tbl.looked(b.now, key, store.Head{}, store.ErrNotFound)
	if v := b.told("A", "w2"); v.Kind != "" {
		t.Fatalf("w2 is told %+v by a look from before", v)
	}
	b.look()
	b.want("A", "w1", Granted)

	b = newBench(t)
	b.sayOnly("A", who("w1"))
	b.tbl.looks = nil
	b.put("", "v1") // while the look runs, which has seen nothing
	b.tbl.looked(b.now, key, store.Head{}, store.ErrNotFound)
	b.look()
	if v := b.want("A", "w1", Built); v.ETag != "v1" {
		t.Errorf("built: %+v", v)
	}
}

// Rule 20: who comes while another builds is looked for too: it may take what is there.
func TestOlderValue(t *testing.T) {
	b := newBench(t)
	b.held = &store.Head{Version: "v1", Write: "w", Modified: b.now.Add(-time.Hour)}
	young, minute := who("young"), 60.0
	young.MaxAge = &minute
	b.say("A", young)
	if c := b.want("A", "young", Granted).Claim; c.Base.Version != "v1" {
		t.Errorf("the base is %+v", c.Base)
	}
	b.say("B", who("any"))
	b.want("B", "any", Built)
}

// A look that fails is told, and grants nothing.
func TestLookFails(t *testing.T) {
	for err, told := range map[error]Kind{store.ErrUnavailable: Troubled, store.ErrUnexpected: Barred} {
		b := newBench(t)
		b.sayOnly("A", who("w1"))
		b.tbl.looks = nil
		b.tbl.looked(b.now, key, store.Head{}, err)
		b.want("A", "w1", told)
	}
}

// Only readers wait: they hear so. A reader waits for who builds.
func TestReaders(t *testing.T) {
	b := newBench(t)
	reader := who("r")
	reader.Writer = false
	b.say("A", reader)
	b.want("A", "r", Refused)

	b = newBench(t)
	b.say("A", who("w"))
	b.say("B", reader)
	b.want("B", "r", Waits)
	b.say("A")
	b.want("B", "r", Refused)
}

// Rule 21: a claim that a write has ended is refused at the mark, also one that was
// passed on before.
func TestFence(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	first := b.want("A", "w1", Granted).Claim
	b.say("B", who("w2"))
	b.say("A")
	second := b.want("B", "w2", Granted).Claim
	b.delete()
	for _, c := range []*Claim{first, second} {
		if b.tbl.mark(key, c.Name) {
			t.Errorf("%s was ended by a delete, and may write", c.Holder)
		}
	}
}

// Rule 22: a put wakes all, whoever put; a delete lets the next one build.
func TestEnd(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"), who("w3"))
	b.delete()
	b.want("A", "w1", Lost)
	b.want("B", "w2", Granted)
	b.want("B", "w3", Waits)
	b.put("", "v1")
	for _, id := range []string{"w2", "w3"} {
		if v := b.want("B", id, Built); v.ETag != "v1" {
			t.Errorf("%s: %+v", id, v)
		}
	}
	if s := b.tbl.stats(); s.Joined != 1 || s.Built != 0 {
		t.Errorf("counted: %+v", s)
	}
}

// Rule 22: a write of the present claim that was refused has found another value,
// which wakes all.
func TestFencedWakes(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"))
	c := b.want("A", "w1", Granted).Claim
	b.held = &store.Head{Version: "other", Write: "w"} // landed late
	b.tbl.fenced(b.now, key, c.User, c.Name)
	b.look()
	b.want("A", "w1", Lost)
	b.want("B", "w2", Built)
}

// Rule 23: an older statement changes nothing; who is named by another node stays; who is
// named by none is gone after a while, of the time that this process ran.
func TestSpeaking(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"))
	holder := b.takes("A", "w1")
	b.say("A", holder)
	if _, err := b.tbl.say(b.now, "A", key, statement{Number: 1}); err != nil {
		t.Fatal(err)
	}
	b.want("A", "w1", Granted)
	b.say("C", holder)
	b.say("A")
	b.want("C", "w1", Granted)
	b.tbl.answered("C", b.tbl.keys[key], b.n-2)
	b.now = b.now.Add(10 * time.Second) // stopped
	b.tbl.tick(b.now)
	b.want("C", "w1", Granted)
	b.pass(absence)
	b.want("C", "w1", Granted) // its last question is under way
	b.tbl.answered("C", b.tbl.keys[key], b.tbl.keys[key].speakers["C"].number)
	b.pass(absence - tickEvery)
	b.want("C", "w1", Granted) // the next may come
	b.pass(2 * tickEvery)
	b.want("B", "w2", Granted)
}

// Rule 24: the oldest waiter who is there is next when a builder is gone, gives up or
// is silent; but not while the key is marked.
// Rule 28: a node that has ended a builder's stream hears when another node has one, which
// does not leave too.
func TestElsewhere(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w"))
	holder := b.takes("A", "w")
	away := holder
	away.Away = true
	b.say("A", holder)
	for _, step := range []struct {
		node string
		is   attached
		want map[string]bool
	}{
		{"B", holder, map[string]bool{"A": false, "B": false}}, // A may still have its stream
		{"A", away, map[string]bool{"A": true, "B": false}},
		{"B", away, map[string]bool{"A": false, "B": false}},
		{"C", holder, map[string]bool{"A": true, "B": true, "C": false}},
	} {
		before := b.tbl.version
		b.say(step.node, step.is)
		if b.tbl.version == before {
			t.Errorf("nobody hears that %s names %+v", step.node, step.is)
		}
		for node, want := range step.want {
			if got := b.tbl.keys[key].view(b.now, node).Told["w"].Elsewhere; got != want {
				t.Errorf("after %s: %s hears that the builder is elsewhere: %t", step.node, node, got)
			}
		}
	}
}

func TestPassingOn(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	away := who("w2")
	away.Away = true
	b.say("B", away, who("w3"), who("w4"), who("w5"))
	if !b.tbl.mark(key, b.want("A", "w1", Granted).Claim.Name) {
		t.Fatal("refused")
	}
	b.say("A")
	b.want("B", "w3", Waits)
	b.tbl.unmark(b.now, key, "", outcomeNone())
	b.look()
	c := b.want("B", "w3", Granted).Claim
	if err := b.tbl.giveUp(b.now, key, *c, Verdict{}); err != nil {
		t.Fatal(err)
	}
	b.look()
	if err := b.tbl.giveUp(b.now, key, *c, Verdict{}); !errors.Is(err, ErrLost) {
		t.Errorf("given up twice: %v", err)
	}
	b.want("B", "w4", Granted)
	b.say("B", away, b.takes("B", "w4"), who("w5"))
	b.pass(b.tbl.silence)
	b.want("B", "w4", Lost)
	b.want("B", "w5", Granted)
	if s := b.tbl.stats(); s.TookOver != 3 {
		t.Errorf("%d taken over", s.TookOver)
	}
}

// A claim that is given up while nobody waits is passed on to nobody: who asks later, while
// the former builder's node still names him, begins a build of its own.
func TestNobodyNext(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	c := b.want("A", "w1", Granted).Claim
	if err := b.tbl.giveUp(b.now, key, *c, Verdict{}); err != nil {
		t.Fatal(err)
	}
	b.say("B", who("w2"))
	b.want("B", "w2", Granted)
	if s := b.tbl.stats(); s.TookOver != 0 {
		t.Errorf("%d taken over", s.TookOver)
	}
}

// Rule 24: a builder who was gone and comes back before another has the claim keeps it.
func TestComesBack(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	holder := b.takes("A", "w1")
	b.say("A")
	b.say("B", holder)
	b.want("B", "w1", Granted)
	b.say("A", who("w2"))
	b.want("A", "w2", Waits)

	b.held = &store.Head{Version: "v", Write: "w"} // put meanwhile, elsewhere
	b.say("A", who("w2"), who("w3"))
	b.want("B", "w1", Lost)
	b.want("A", "w2", Built)
}

// A grant whose waiter was away when it came is passed on, and the waiter keeps its place.
func TestDeclined(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"))
	b.want("A", "w1", Granted)
	away := who("w1")
	away.Away = true
	b.say("A", away)
	b.want("B", "w2", Granted)
	b.say("B")
	b.say("A", who("w1"))
	b.want("A", "w1", Granted)
}

// The same name gets the same claim, at whatever node.
func TestSameWaiter(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w1"))
	if a, c := b.want("A", "w1", Granted).Claim, b.want("B", "w1", Granted).Claim; a.Name != c.Name {
		t.Errorf("two claims: %+v, %+v", a, c)
	}
}

// A node that has heard all of a key hears anew when somebody attaches there of whom
// something is decided already.
func TestSameWaiterElsewhere(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("B", who("w2"))
	b.want("A", "w1", Granted)
	b.want("B", "w2", Waits)
	b.say("B", who("w2"), who("w1"))
	if st := b.tbl.keys[key]; st.version <= b.seen["B"] {
		t.Error("the question of B is not answered")
	}
	b.want("B", "w1", Granted)
	again := who("w1")
	again.Nonce = 2
	b.say("B", who("w2"), again)
	if st := b.tbl.keys[key]; st.version <= b.seen["B"] {
		t.Error("the question of B is not answered after w1 came back")
	}
}

// Rule 26: nothing is granted until all have been asked, and then only after a look; a
// builder is taken over, of two the older one.
func TestNewOwner(t *testing.T) {
	b := newBench(t)
	b.ring(1, true, "A", "B", "C")
	b.say("A", who("w1"))
	b.want("A", "w1", Waits)
	young, old := who("young"), who("old")
	young.Claim = &Claim{Name: "c2", Holder: "young", User: "u", Granted: 2}
	old.Claim = &Claim{Name: "c1", Holder: "old", User: "u", Granted: 1}
	b.say("B", young)
	b.say("C", old)
	b.tbl.allAsked(b.now, 1)
	b.look()
	b.want("C", "old", Granted)
	b.want("B", "young", Lost)
	b.want("A", "w1", Waits)
}

// Rule 26: the answers may tell of a builder that has put meanwhile.
func TestNewOwnerLooks(t *testing.T) {
	b := newBench(t)
	b.ring(1, true, "A")
	holder := who("w1")
	holder.Claim = &Claim{Name: "c1", Holder: "w1", User: "u"}
	b.sayOnly("A", holder, who("w2"))
	b.held = &store.Head{Version: "v1", Write: "w"}
	b.tbl.allAsked(b.now, 1)
	b.look()
	b.look()
	b.want("A", "w1", Lost)
	b.want("A", "w2", Built)
}

// Rule 27: what others own is forgotten, and those who ask are told.
func TestFormerOwner(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	st := b.tbl.keys[key]
	st.changed = make(chan struct{})
	changed := st.changed
	b.ring(1, false, "A")
	select {
	case <-changed:
	default:
		t.Error("who waits is not woken")
	}
	if !st.gone || len(b.tbl.keys) != 0 {
		t.Error("a former owner remembers")
	}
}

// Nothing stays of keys that nobody wants any more.
func TestForgets(t *testing.T) {
	b := newBench(t)
	b.say("A", who("w1"))
	b.say("here", who("w2"))
	b.put(b.want("A", "w1", Granted).Claim.Name, "v1")
	b.say("A")
	b.say("here")
	b.tbl.answered("A", b.tbl.keys[key], b.tbl.keys[key].speakers["A"].number)
	b.pass(absence + tickEvery)
	if len(b.tbl.keys) != 0 || len(b.tbl.marks) != 0 || len(b.tbl.passed) != 0 {
		t.Errorf("left: %d keys, %d marks, %d passed on", len(b.tbl.keys), len(b.tbl.marks), len(b.tbl.passed))
	}
}

// An owner knows of so many keys, and so many names of claims that are over.
func TestBounds(t *testing.T) {
	b := newBench(t)
	k := key
	for i := range b.tbl.limits.keys + 1 {
		k.Name = string(rune('a' + i))
		_, err := b.tbl.say(b.now, "A", k, statement{Number: 1, Attached: []attached{who("w")}})
		if full := errors.Is(err, errFull); full != (i == b.tbl.limits.keys) {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	for i := range 3 * b.tbl.limits.names {
		b.tbl.ended.add(string(rune('a' + i)))
	}
	if n := len(b.tbl.ended.held); n > b.tbl.limits.names {
		t.Errorf("%d names are held", n)
	}
}
