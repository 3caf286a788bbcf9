package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Markdown is the report as tables, one for each row, and what was missed before all.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.summary())
	if r.Short {
		b.WriteString("A short run, for development: the numbers are rough.\n\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Machine)) {
		fmt.Fprintf(&b, "- %s: %s\n", name, r.Machine[name])
	}
	row := ""
	for _, l := range r.Lines {
		if l.Row != row {
			row = l.Row
			fmt.Fprintf(&b, "\n## %s\n\n", row)
			b.WriteString(r.columns())
		}
		if r.Growth {
			b.WriteString(l.growth())
		} else {
			b.WriteString(l.markdown())
		}
	}
	return b.String()
}

func (r *Report) columns() string {
	if r.Growth {
		return "| cost | unit | in the small case | | in the large case | | growth |\n|---|---|---|---|---|---|---|\n"
	}
	return "| | unit | Larder | against | the other | ratio | target | met |\n|---|---|---|---|---|---|---|---|\n"
}

func (l Line) markdown() string {
	target, met := "", ""
	if l.Target != nil {
		target, met = l.Target.String(), "**no**"
		if *l.Met {
			met = "yes"
		}
	}
	return cells(l.noted(), l.Unit, l.Ours.String(), l.Against, spreadOrNone(l.Theirs), spreadOrNone(l.Ratio), target, met)
}

func (l Line) noted() string {
	if l.Note == "" {
		return l.What
	}
	return l.What + "; " + l.Note
}

func cells(of ...string) string {
	for i, c := range of {
		of[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(of, " | ") + " |\n"
}

func spreadOrNone(s *Spread) string {
	if s == nil {
		return ""
	}
	return s.String()
}

// summary counts the targets and names those that were missed.
func (r *Report) summary() string {
	if r.Growth {
		return r.steep()
	}
	judged, met := 0, 0
	var missed []string
	for _, l := range r.Lines {
		if l.Met == nil {
			continue
		}
		judged++
		if *l.Met {
			met++
			continue
		}
		name := l.Row + ", " + l.What
		if l.Against != "" {
			name += " against " + l.Against
		}
		missed = append(missed, "- "+name)
	}
	s := fmt.Sprintf("%d of %d targets are met, by the medians.", met, judged)
	if len(missed) > 0 {
		s += " Missed:\n\n" + strings.Join(missed, "\n")
	}
	return s
}
