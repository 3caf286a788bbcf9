package chaos

import (
	"fmt"
	"math"
	"sync"
	"time"
)

// verb is what a client does.
type verb string

const (
	get    verb = "get"
	head   verb = "head"
	put    verb = "put"
	create verb = "create" // a put that wants nothing there
	remove verb = "delete"
)

// outcome is what a client knows of what it did.
type outcome string

const (
	done    outcome = "done"    // it has its answer
	refused outcome = "refused" // it surely changed nothing, or read nothing
	unknown outcome = "unknown" // it may have changed something, or may yet
)

// never is the return of an operation that may happen at any later time.
const never = math.MaxInt64

// op is one operation of one client.
type op struct {
	client, node int
	key          string
	verb         verb
	fresh        bool   // a read that must ask S3
	value        string // what a put or create writes
	call, ret    int64  // nanoseconds since the history began

	outcome outcome
	status  int    // of the answer; 0 if there was none
	found   string // what a read found; empty is absent
	took    bool   // whether a create or delete found what it wanted and did it
	detail  string // why it is not done
	advice  string // the answer's Retry-After
}

func (o *op) reads() bool { return o.verb == get || o.verb == head }

// end is when the operation had happened at the latest.
func (o *op) end() int64 {
	if o.outcome == unknown {
		return never
	}
	return o.ret
}

func (o *op) String() string {
	s := fmt.Sprintf("%10.4f %10.4f node-%d client-%-2d %-8s %s", seconds(o.call), seconds(o.ret), o.node+1, o.client, o.key, o.verb)
	if o.fresh {
		s += " no-cache"
	}
	if o.value != "" {
		s += " " + o.value
	}
	switch {
	case o.outcome != done:
		return fmt.Sprintf("%s: %s: %d %s", s, o.outcome, o.status, o.detail)
	case o.reads() && o.found == "":
		return s + " -> absent"
	case o.reads():
		return s + " -> " + o.found
	}
	return fmt.Sprintf("%s -> %d", s, o.status)
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// history is what all clients did.
type history struct {
	began time.Time

	mu  sync.Mutex // guards ops
	ops []*op
}

func newHistory() *history { return &history{began: time.Now()} }

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(o *op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// byKey returns the operations of each key, in the order in which they ended.
func (h *history) byKey() map[string][]*op {
	keys := map[string][]*op{}
	for _, o := range h.all() {
		keys[o.key] = append(keys[o.key], o)
	}
	return keys
}

func (h *history) all() []*op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*op{}, h.ops...)
}
