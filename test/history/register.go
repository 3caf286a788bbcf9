package history

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
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			return step(state.(string), input.(*Op))
		},
		DescribeOperation: func(input, _ any) string { return input.(*Op).String() },
		DescribeState: func(state any) string {
			if state == "" {
				return "absent"
			}
			return state.(string)
		},
	}
}

// step reports whether an operation may happen in a state, and what the state is then.
func step(state string, o *Op) (bool, string) {
	switch o.Verb {
	case Put:
		return true, o.Value
	case Create:
		if o.Outcome == Done && o.Took != (state == "") {
			return false, state
		}
		if state == "" {
			return true, o.Value
		}
		return true, state
	case Claimed: // one that was sent again finds itself
		if o.Outcome == Done && !o.Took || o.Outcome == Unknown && state != o.Base {
			return true, state
		}
		return state == o.Base || state == o.Value, o.Value
	case Remove:
		if o.Outcome == Unknown || o.Lenient && o.Took {
			return true, ""
		}
		return o.Took == (state != ""), ""
	case Drop:
		return true, ""
	case Expire:
		if o.Found == state {
			return true, ""
		}
		return true, state
	default:
		return o.Found == state, state
	}
}

// Verdict of a check.
type Verdict struct {
	porcupine.CheckResult
	info  porcupine.LinearizationInfo
	model porcupine.Model
}

// Linearizable checks the history of one key. Unknown writes make a check
// hard, so those which nobody needs to have happened are left out at first:
// what is linearizable without them is so with them.
func Linearizable(ops []*Op) Verdict {
	v := check(relevant(ops, false))
	if v.CheckResult != porcupine.Ok {
		v = check(relevant(ops, true))
	}
	return v
}

func check(ops []porcupine.Operation) Verdict {
	v := Verdict{model: register()}
	v.CheckResult, v.info = porcupine.CheckOperationsVerbose(v.model, ops, checkLimit)
	return v
}

// relevant returns the operations that a check needs: all that are done, and
// the unknown writes, or those alone that somebody saw.
func relevant(ops []*Op, unseen bool) []porcupine.Operation {
	seen := firstSeen(ops)
	var out []porcupine.Operation
	for _, o := range ops {
		_, found := seen[o.Value]
		if o.Outcome == Refused || o.Outcome == Unknown && !unseen && (o.Value == "" || !found) {
			continue
		}
		end := max(o.happened(seen), o.Call)
		out = append(out, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: end})
	}
	return out
}

// happened is when an operation had happened at the latest: that of a value that was seen
// when the first who saw it had the answer. A claimed value is sent more than once, and
// each time may be the one that was seen.
func (o *Op) happened(seen map[string]int64) int64 {
	if at, ok := seen[o.Value]; ok && o.Value != "" && o.Verb != Claimed {
		return min(o.end(), at)
	}
	return o.end()
}

// firstSeen returns when each value had been read at the latest.
func firstSeen(ops []*Op) map[string]int64 {
	seen := map[string]int64{}
	for _, o := range ops {
		if o.Reads() && o.Outcome == Done && o.Found != "" {
			if at, ok := seen[o.Found]; !ok || o.Ret < at {
				seen[o.Found] = o.Ret
			}
		}
	}
	return seen
}

// Stale is a read of what had been replaced.
type Stale struct {
	Read, By *Op
	Age      time.Duration // from the end of the replacing write to the read's start
}

// StaleReads returns the reads of values that a write, which was acknowledged
// or seen, had surely replaced before they began.
func StaleReads(ops []*Op) []Stale {
	seen := firstSeen(ops)
	var writes []*Op
	for _, o := range ops {
		if !o.Reads() && o.Outcome != Refused && (o.Verb == Put || o.Verb == Expire || o.Took || o.Outcome == Unknown) {
			writes = append(writes, o)
		}
	}
	happened := func(o *Op) int64 { return o.happened(seen) }
	slices.SortFunc(writes, func(a, b *Op) int { return cmp.Compare(happened(a), happened(b)) })
	// replaced is the first write that surely came after one that happened
	// before end, and is not of this value. A moment replaces one value alone.
	replaced := func(end int64, value string) *Op {
		for _, w := range writes {
			if w.Verb == Expire && w.Found != value {
				continue
			}
			if w.Call >= end && happened(w) != Never && w.Value != value {
				return w
			}
		}
		return nil
	}
	var out []Stale
	for _, r := range ops {
		if !r.Reads() || r.Outcome != Done {
			continue
		}
		if by := lastReplaced(r, writes, replaced, happened); by != nil && happened(by) < r.Call {
			out = append(out, Stale{Read: r, By: by, Age: time.Duration(r.Call - happened(by))})
		}
	}
	return out
}

// lastReplaced returns the write that ended the last time at which what r
// found can have been there; nil if that time may not have ended.
func lastReplaced(r *Op, writes []*Op, replaced func(int64, string) *Op, happened func(*Op) int64) *Op {
	last := (*Op)(nil)
	if r.Found == "" {
		if last = replaced(math.MinInt64, ""); last == nil {
			return nil
		}
	}
	for _, w := range writes {
		if w.Value != r.Found || w.Call > r.Ret {
			continue
		}
		by := replaced(happened(w), r.Found)
		if by == nil {
			return nil
		}
		if last == nil || happened(by) > happened(last) {
			last = by
		}
	}
	return last
}

// Report writes a history that failed to where a person can look at it, and
// returns where that is.
func Report(name string, v Verdict, ops []*Op) (string, error) {
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
	slices.SortFunc(ops, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	for _, o := range ops {
		fmt.Fprintln(&text, o)
	}
	if err := os.WriteFile(path+".txt", []byte(text.String()), 0o600); err != nil {
		return "", err
	}
	return path + ".html", porcupine.VisualizePath(v.model, v.info, path+".html")
}
