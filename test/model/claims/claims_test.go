package claims

import (
	"strings"
	"testing"
	"time"
)

type scenario struct {
	name   string
	config Config
}

func scenarios() []scenario {
	at := [3]Node{B, C, C}
	return []scenario{
		{"base", Config{Callers: 2, At: at}},
		{"base3", Config{Callers: 3, At: [3]Node{A, B, C}}},
		{"cuts", Config{Callers: 2, At: at, Cuts: 1, Lost: 1, PutVia: A}},
		{"deaths, fails", Config{Callers: 2, At: at, Deaths: 1, Failing: 1}},
		{"plain", Config{Callers: 2, At: at, Puts: 1, Via: C}},
		{"delete", Config{Callers: 2, At: at, Puts: 1, Deletes: 1, Via: C}},
		{"unknown", Config{Callers: 2, At: at, Unknown: 1, Repeats: 1, Deaths: 1, Old: true}},
		{"slow", Config{Callers: 2, At: at, Slow: 1, Cuts: 1}},
		{"join", Config{Callers: 2, At: [3]Node{C, A}, Joining: A}},
		{"join, two at C", Config{Callers: 2, At: [3]Node{C, C}, Joining: A, PutVia: B}},
		{"join plain", Config{Callers: 2, At: [3]Node{C, C}, Joining: A, Puts: 1, Via: B}},
		{"owner leaves", Config{Callers: 2, At: [3]Node{A, C}, Leaving: A}},
		{"owner leaves2", Config{Callers: 2, At: [3]Node{B, C}, Leaving: A}},
		{"other leaves", Config{Callers: 2, At: [3]Node{B, C}, Leaving: B}},
		{"owner dies", Config{Callers: 2, At: [3]Node{B, C}, Crashing: A}},
		{"owner dies with builder", Config{Callers: 2, At: [3]Node{A, C}, Crashing: A}},
		{"speaker dies", Config{Callers: 2, At: [3]Node{B, C}, Crashing: B}},
		{"owner away", Config{Callers: 2, At: [3]Node{B, C}, Pausing: A, Returns: 2}},
		{"speaker away", Config{Callers: 2, At: [3]Node{B, C}, Pausing: B, Returns: 2}},
		{"join and leave", Config{Callers: 2, At: [3]Node{C, C}, Joining: A, Leaving: B}},
		{"join and die", Config{Callers: 2, At: [3]Node{C, C}, Joining: A, Crashing: A}},
	}
}

func TestPromisesHold(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			b := time.Now()
			r := Explore(sc.config)
			t.Logf("%d states %v", r.States, time.Since(b))
			if r.Story != nil {
				t.Errorf("a promise is broken:\n%s", strings.Join(r.Story, "\n"))
			}
		})
	}
}
