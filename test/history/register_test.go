package history

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// TestTheCheckItself holds the check to histories whose verdict is known.
func TestTheCheckItself(t *testing.T) {
	write := func(value string, call, ret int64) *Op {
		return &Op{Verb: Put, Value: value, Call: call, Ret: ret, Outcome: Done, Took: true}
	}
	lost := func(value string, call, ret int64) *Op {
		return &Op{Verb: Put, Value: value, Call: call, Ret: ret, Outcome: Unknown}
	}
	read := func(found string, call, ret int64) *Op {
		return &Op{Verb: Get, Found: found, Call: call, Ret: ret, Outcome: Done}
	}
	gone := func(took bool, call, ret int64) *Op {
		return &Op{Verb: Remove, Call: call, Ret: ret, Outcome: Done, Took: took}
	}
	made := func(value string, took bool, call, ret int64) *Op {
		return &Op{Verb: Create, Value: value, Call: call, Ret: ret, Outcome: Done, Took: took}
	}
	for _, c := range []struct {
		name  string
		ops   []*Op
		legal bool
		age   time.Duration // of the oldest read that is surely stale
	}{
		{"one after the other", []*Op{write("a", 0, 1), read("a", 2, 3), gone(true, 4, 5), read("", 6, 7), gone(false, 8, 9)}, true, 0},
		{"old after an acknowledged write", []*Op{write("a", 0, 1), write("b", 2, 3), read("a", 10, 11)}, false, 7},
		{"either during a write", []*Op{write("a", 0, 1), write("b", 2, 9), read("a", 3, 4), read("b", 5, 6)}, true, 0},
		{"new, then old, during a write", []*Op{write("a", 0, 1), write("b", 2, 9), read("b", 3, 4), read("a", 7, 8)}, false, 3},
		{"absent after a put", []*Op{write("a", 0, 1), read("", 2, 3)}, false, 1},
		{"there after a delete", []*Op{write("a", 0, 1), gone(true, 2, 3), read("a", 9, 10)}, false, 6},
		{"an unknown write happens late", []*Op{write("a", 0, 1), lost("b", 2, 3), read("a", 8, 9), read("b", 10, 11)}, true, 0},
		{"an unknown write happens once", []*Op{write("a", 0, 1), lost("b", 2, 3), read("b", 4, 5), write("c", 6, 7), read("b", 8, 9)}, false, 1},
		{"an unknown write that nobody saw is why a create was refused", []*Op{lost("a", 0, 1), made("b", false, 2, 3), read("a", 8, 9)}, true, 0},
		{"two creates of one key", []*Op{made("a", true, 0, 1), made("b", true, 2, 3)}, false, 0},
		{"a value that nobody wrote", []*Op{write("a", 0, 1), read("b", 2, 3)}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Linearizable(c.ops).CheckResult == porcupine.Ok; got != c.legal {
				t.Errorf("linearizable: %t", got)
			}
			age := time.Duration(0)
			for _, st := range StaleReads(c.ops) {
				age = max(age, st.Age)
			}
			if age != c.age {
				t.Errorf("the oldest read is %d ns old, not %d", age, c.age)
			}
		})
	}
}
