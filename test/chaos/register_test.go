package chaos

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit bounds the check of one key.
const checkLimit = 60 * time.Second

// register is one key: its state is the value there, empty if there is none.
// A lenient one takes a delete's word that it deleted for no more than that
// the key is absent afterwards: two owners of a moment may both say so.
func register(lenient bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			return step(state.(string), input.(*op), lenient)
		},
		DescribeOperation: func(input, _ any) string { return input.(*op).String() },
		DescribeState: func(state any) string {
			if state == "" {
				return "absent"
			}
			return state.(string)
		},
	}
}

// step reports whether an operation may happen in a state, and what the state is then.
func step(state string, o *op, lenient bool) (bool, string) {
	switch o.verb {
	case put:
		return true, o.value
	case create:
		if o.outcome == done && o.took != (state == "") {
			return false, state
		}
		if state == "" {
			return true, o.value
		}
		return true, state
	case remove:
		if o.outcome == unknown || lenient && o.took {
			return true, ""
		}
		return o.took == (state != ""), ""
	default:
		return o.found == state, state
	}
}

// verdict of a check.
type verdict struct {
	porcupine.CheckResult
	info  porcupine.LinearizationInfo
	model porcupine.Model
}

// linearizable checks the history of one key. Unknown writes make a check
// hard, so those which nobody needs to have happened are left out at first:
// what is linearizable without them is so with them.
func linearizable(ops []*op, lenient bool) verdict {
	v := check(relevant(ops, false), lenient)
	if v.CheckResult != porcupine.Ok {
		v = check(relevant(ops, true), lenient)
	}
	return v
}

func check(ops []porcupine.Operation, lenient bool) verdict {
	v := verdict{model: register(lenient)}
	v.CheckResult, v.info = porcupine.CheckOperationsVerbose(v.model, ops, checkLimit)
	return v
}

// relevant returns the operations that a check needs: all that are done, and
// the unknown writes, or those alone that somebody saw. A write that was seen
// had happened when the first who saw it had the answer.
func relevant(ops []*op, unseen bool) []porcupine.Operation {
	seen := firstSeen(ops)
	var out []porcupine.Operation
	for _, o := range ops {
		if o.outcome == refused {
			continue
		}
		end := o.end()
		if at, ok := seen[o.value]; ok && o.value != "" {
			end = max(min(end, at), o.call)
		} else if o.outcome == unknown && !unseen {
			continue
		}
		out = append(out, porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: end})
	}
	return out
}

// firstSeen returns when each value had been read at the latest.
func firstSeen(ops []*op) map[string]int64 {
	seen := map[string]int64{}
	for _, o := range ops {
		if o.reads() && o.outcome == done && o.found != "" {
			if at, ok := seen[o.found]; !ok || o.ret < at {
				seen[o.found] = o.ret
			}
		}
	}
	return seen
}

// authoritative returns what S3 itself has decided: writes, and reads that
// asked it.
func authoritative(ops []*op) []*op {
	return slices.DeleteFunc(slices.Clone(ops), func(o *op) bool { return o.reads() && !o.fresh })
}

// stale is a read of what had been replaced.
type stale struct {
	read, by *op
	age      time.Duration // from the end of the replacing write to the read's start
}

// staleReads returns the reads of values that a write, which was acknowledged
// or seen, had surely replaced before they began.
func staleReads(ops []*op) []stale {
	seen := firstSeen(ops)
	var writes []*op
	for _, o := range ops {
		if !o.reads() && o.outcome != refused && (o.verb == put || o.took || o.outcome == unknown) {
			writes = append(writes, o)
		}
	}
	happened := func(o *op) int64 {
		if at, ok := seen[o.value]; ok && o.value != "" {
			return min(o.end(), at)
		}
		return o.end()
	}
	slices.SortFunc(writes, func(a, b *op) int { return cmp.Compare(happened(a), happened(b)) })
	// replaced is the first write that surely came after one that happened
	// before end, and is not of this value.
	replaced := func(end int64, value string) *op {
		for _, w := range writes {
			if w.call >= end && happened(w) != never && w.value != value {
				return w
			}
		}
		return nil
	}
	var out []stale
	for _, r := range ops {
		if !r.reads() || r.outcome != done {
			continue
		}
		if by := lastReplaced(r, writes, replaced, happened); by != nil && happened(by) < r.call {
			out = append(out, stale{read: r, by: by, age: time.Duration(r.call - happened(by))})
		}
	}
	return out
}

// lastReplaced returns the write that ended the last time at which what r
// found can have been there; nil if that time may not have ended.
func lastReplaced(r *op, writes []*op, replaced func(int64, string) *op, happened func(*op) int64) *op {
	last := (*op)(nil)
	if r.found == "" {
		if last = replaced(math.MinInt64, ""); last == nil {
			return nil
		}
	}
	for _, w := range writes {
		if w.value != r.found || w.call > r.ret {
			continue
		}
		by := replaced(happened(w), r.found)
		if by == nil {
			return nil
		}
		if last == nil || happened(by) > happened(last) {
			last = by
		}
	}
	return last
}

// report writes a history that failed to where a person can look at it, and
// returns where that is.
func report(name string, v verdict, ops []*op) (string, error) {
	const dir = "chaos-failures"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	var text strings.Builder
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b *op) int { return cmp.Compare(a.call, b.call) })
	for _, o := range ops {
		fmt.Fprintln(&text, o)
	}
	if err := os.WriteFile(path+".txt", []byte(text.String()), 0o600); err != nil {
		return "", err
	}
	return path + ".html", porcupine.VisualizePath(v.model, v.info, path+".html")
}
