package report

import (
	"fmt"
	"slices"
	"strings"
)

// Steep is the growth of a unit's cost from which on the cost grows faster than the work.
const Steep = 1.5

// Grown makes the line of what a unit of work costs in a large case, beside the same in a
// small one, of which the i-th were measured one after the other. Of what costs nothing in
// the small case no growth is told.
func Grown(row, what, unit, small, large string, atSmall, atLarge []float64) Line {
	l := Compared(row, what, small, unit, atLarge, atSmall)
	l.Case = large
	if slices.Contains(atSmall, 0) {
		l.Ratio = nil
		return l
	}
	return l.Judged(Target{Is: AtMost, Value: Steep})
}

// growth is a row of the table, the small case before the large one.
func (l Line) growth() string {
	growth := spreadOrNone(l.Ratio)
	if l.Met != nil && !*l.Met {
		growth = "**" + growth + "**"
	}
	return cells(l.noted(), l.Unit, spreadOrNone(l.Theirs), l.Against, l.Ours.String(), l.Case, growth)
}

// steep names the costs that grow faster than the work.
func (r *Report) steep() string {
	compared := 0
	var steep []string
	for _, l := range r.Lines {
		if l.Met == nil {
			continue
		}
		compared++
		if !*l.Met {
			steep = append(steep, fmt.Sprintf("- %s, %s: %s times from %s to %s", l.Row, l.What, number(l.Ratio.Median), l.Against, l.Case))
		}
	}
	s := fmt.Sprintf("%d of %d unit costs grow by more than a half.", len(steep), compared)
	if len(steep) > 0 {
		s += "\n\n" + strings.Join(steep, "\n")
	}
	return s
}
