package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"larder/test/history"
)

// overlaps reports whether an operation was under way during a window.
func (w window) overlaps(o *history.Op) bool { return o.Call <= w.to && o.Ret >= w.from }

// well reports whether the node was well while it had the operation.
func (n *node) well(o *history.Op) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !slices.ContainsFunc(n.trouble, func(w window) bool { return w.overlaps(o) })
}

// toll is what one kind of fault cost the clients of nodes that were well.
type toll struct {
	reads, unanswered       int
	writes, refused, asking int // asking: their outcome is not known
	slowRead, slowWrite     time.Duration
}

func (c *toll) add(o *history.Op) {
	took := time.Duration(o.Ret - o.Call)
	if o.Reads() {
		c.reads++
		c.slowRead = max(c.slowRead, took)
		if o.Outcome != history.Done {
			c.unanswered++
		}
		return
	}
	c.writes++
	c.slowWrite = max(c.slowWrite, took)
	switch o.Outcome {
	case history.Refused:
		c.refused++
	case history.Unknown:
		c.asking++
	default:
	}
}

// tolls returns the toll of each kind of fault that happened; "none" stands
// for the time without.
func tolls(ops []*history.Op, nodes []*node, troubles []trouble) map[kind]*toll {
	by := map[kind]*toll{"none": {}}
	for _, o := range ops {
		if !nodes[o.Node].well(o) {
			continue
		}
		struck := map[kind]bool{}
		for _, tr := range troubles {
			if tr.overlaps(o) {
				struck[tr.kind] = true
			}
		}
		if len(struck) == 0 {
			struck["none"] = true
		}
		for k := range struck {
			if by[k] == nil {
				by[k] = &toll{}
			}
			by[k].add(o)
		}
	}
	return by
}

// table shows tolls to a person.
func table(by map[kind]*toll) string {
	var b strings.Builder
	fmt.Fprintf(&b, "through the nodes that were well, while there was:\n%-9s %7s %10s %8s %7s %7s %7s %8s\n",
		"fault", "reads", "unanswered", "slowest", "writes", "refused", "unknown", "slowest")
	var kinds []kind
	for k := range by {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		c := by[k]
		fmt.Fprintf(&b, "%-9s %7d %10d %7.2fs %7d %7d %7d %7.2fs\n",
			k, c.reads, c.unanswered, c.slowRead.Seconds(), c.writes, c.refused, c.asking, c.slowWrite.Seconds())
	}
	return b.String()
}
