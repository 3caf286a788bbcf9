package claims

import (
	"strings"
	"testing"
)

// scenario is what may happen in one exploration.
type scenario struct {
	name   string
	config Config
}

// Where the callers come.
func apart() [3]Node    { return [3]Node{B, C, C} }
func together() [3]Node { return [3]Node{C, C} }

// scenarios are explored in every run: all rules in force, no promise broken.
func scenarios() []scenario {
	return []scenario{
		{"nothing fails but messages", Config{Callers: 3, At: [3]Node{A, B, C}, Strays: 1, Lost: 1}},
		{"streams break", Config{Callers: 2, At: apart(), Cuts: 1, Strays: 1, PutVia: A}},
		{"a bound of time ends early", Config{Callers: 2, At: apart(), Cuts: 1, Slow: 1}},
		{"builders die and fail", Config{Callers: 3, At: apart(), Deaths: 1, Failing: 1}},
		{"another puts and deletes", Config{Callers: 2, At: apart(), Puts: 1, Deletes: 1, Via: C}},
		{"an older version is there", Config{Callers: 2, At: apart(), Old: true, Puts: 1, Deletes: 1, Via: C}},
		{"puts are given up and repeated", Config{Callers: 2, At: apart(), Unknown: 1, Repeats: 1, Deaths: 1, Puts: 1, Via: B}},
		{"a new owner joins", Config{Callers: 2, At: [3]Node{C, A}, Joining: A}},
		{"a new owner joins, both wait at one node", Config{Callers: 2, At: together(), Joining: A, Strays: 1, PutVia: B}},
		{"a new owner joins while another puts", Config{Callers: 2, At: together(), Joining: A, Puts: 1, Via: B}},
		{"a new owner joins and dies", Config{Callers: 2, At: together(), Joining: A, Crashing: A}},
		{"a new owner joins while the one before leaves", Config{Callers: 2, At: together(), Joining: A, Leaving: B.bit()}},
		{"the owner leaves with the builder", Config{Callers: 2, At: [3]Node{A, C}, Leaving: A.bit()}},
		{"the owner leaves without", Config{Callers: 2, At: apart(), Leaving: A.bit(), Puts: 1, Via: B}},
		{"a new owner joins while the builder's node leaves", Config{Callers: 2, At: [3]Node{C, B}, Joining: A, Leaving: C.bit()}},
		{"the owner and the builder's node leave", Config{Callers: 2, At: [3]Node{B, C}, Leaving: A.bit() | B.bit()}},
		{"another leaves", Config{Callers: 2, At: apart(), Leaving: B.bit()}},
		{"the owner dies with the builder", Config{Callers: 2, At: [3]Node{A, C}, Crashing: A}},
		{"the owner dies without", Config{Callers: 2, At: apart(), Crashing: A}},
		{"another dies", Config{Callers: 2, At: apart(), Crashing: B}},
		{"the owner is taken for dead", Config{Callers: 2, At: [3]Node{C, A}, Pausing: A, Returns: 2}},
		{"the owner is taken for dead by one", Config{Callers: 2, At: apart(), Pausing: A, Returns: 1}},
		{"another is taken for dead", Config{Callers: 2, At: apart(), Pausing: B, Returns: 1}},
	}
}

func TestPromisesHold(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			r := Explore(sc.config)
			t.Logf("%d states", r.States)
			if r.Story != nil {
				t.Errorf("a promise is broken:\n%s", strings.Join(r.Story, "\n"))
			}
		})
	}
}
