// Package history keeps what clients did and were told, and judges it: the
// history of each key must be that of a register which does one thing after the
// other. The tests that break things write it, on real processes and on
// simulated ones.
package history

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// Verb is what a client does.
type Verb string

// What clients do. A Create is a put that wants nothing there, a Claimed one that wants
// what was there when its claim was granted.
const (
	Get     Verb = "get"
	Head    Verb = "head"
	Put     Verb = "put"
	Create  Verb = "create"
	Claimed Verb = "build"
	Remove  Verb = "delete"
	// Drop is a removal of what begins with the key, which is that key alone: all that it
	// says is that the key was absent at some time of it, whoever removed it.
	Drop Verb = "drop"
	// Expire is what a moment does and no client: the value Found is absent from some
	// time of it on, if it is there still.
	Expire Verb = "expire"
)

// Outcome is what a client knows of what it did.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"    // it has its answer
	Refused Outcome = "refused" // it surely changed nothing, or read nothing
	Unknown Outcome = "unknown" // it may have changed something, or may yet
)

// Never is the return of an operation that may happen at any later time.
const Never = math.MaxInt64

// Op is one operation of one client.
type Op struct {
	Client, Node int
	Key          string
	Verb         Verb
	Fresh        bool   // a read that must ask S3
	Value        string // what a put writes
	Base         string // of a Claimed: what it wants to replace; empty is absent
	Life         int    // how many seconds it lives; 0 is for ever
	Call, Ret    int64  // nanoseconds since the history began
	// Lenient takes a delete's word that it deleted for no more than that the
	// key is absent afterwards: two owners of a moment may both say so.
	Lenient bool

	Outcome Outcome
	Status  int    // of the answer; 0 if there was none
	Found   string // what a read found; empty is absent
	Took    bool   // whether a create or delete found what it wanted and did it
	Detail  string // why it is not done
	Advice  string // the answer's Retry-After
}

// Reads reports whether the operation is a read.
func (o *Op) Reads() bool { return o.Verb == Get || o.Verb == Head }

// end is when the operation had happened at the latest.
func (o *Op) end() int64 {
	if o.Outcome == Unknown {
		return Never
	}
	return o.Ret
}

// String is a line for a person.
func (o *Op) String() string {
	s := fmt.Sprintf("%10.4f %10.4f node-%d client-%-2d %-8s %s", seconds(o.Call), seconds(o.Ret), o.Node+1, o.Client, o.Key, o.Verb)
	if o.Fresh {
		s += " no-cache"
	}
	if o.Value != "" {
		s += " " + o.Value
	}
	if o.Verb == Claimed {
		s += fmt.Sprintf(" on %q", o.Base)
	}
	switch {
	case o.Outcome != Done:
		return fmt.Sprintf("%s: %s: %d %s", s, o.Outcome, o.Status, o.Detail)
	case o.Verb == Expire:
		return s + " " + o.Found
	case o.Reads() && o.Found == "":
		return s + " -> absent"
	case o.Reads():
		return s + " -> " + o.Found
	}
	return fmt.Sprintf("%s -> %d", s, o.Status)
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// History is what all clients did. It is safe for concurrent use.
type History struct {
	Began time.Time

	mu   sync.Mutex // guards all below
	last int64
	ops  []*Op
}

// New begins a history.
func New() *History { return &History{Began: time.Now()} }

// Now is the time since the history began, in nanoseconds. No two calls get the
// same: on a clock that stands still while code runs, their order is what counts.
func (h *History) Now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last+1, int64(time.Since(h.Began)))
	return h.last
}

// Add takes in an operation that has ended.
func (h *History) Add(o *Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// ByKey returns the operations of each key, in the order in which they ended.
func (h *History) ByKey() map[string][]*Op {
	keys := map[string][]*Op{}
	for _, o := range h.All() {
		keys[o.Key] = append(keys[o.Key], o)
	}
	return keys
}

// All returns all operations, in the order in which they ended.
func (h *History) All() []*Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Op{}, h.ops...)
}
