// Package report holds what a benchmark measured, judges it by its targets, and
// writes it as a table for people (Markdown) and for programs (JSON). It
// measures nothing itself. A Report is not safe for concurrent use.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Report is the outcome of one run.
type Report struct {
	// Machine says where and with what was measured, by name.
	Machine map[string]string `json:"machine"`
	// Short marks a run that was cut short for development: its numbers are rough.
	Short bool `json:"short"`
	// Growth marks a report whose lines are made by Grown.
	Growth bool   `json:"growth,omitempty"`
	Lines  []Line `json:"lines"`
}

// Line is one thing that was measured.
type Line struct {
	Row     string `json:"row"`               // the line of the table, a heading
	What    string `json:"what"`              // which case of it, for example "1 KiB"
	Against string `json:"against,omitempty"` // what the other side is; the small case
	Case    string `json:"case,omitempty"`    // the large case, where costs are compared as things grow
	Unit    string `json:"unit"`
	Ours    Spread `json:"ours"`
	// Theirs and Ratio, ours over theirs, are nil where nothing was compared.
	Theirs *Spread `json:"theirs,omitempty"`
	Ratio  *Spread `json:"ratio,omitempty"`
	Target *Target `json:"target,omitempty"` // of the ratio; without one, of Ours
	Met    *bool   `json:"met,omitempty"`    // by the median
	Note   string  `json:"note,omitempty"`
}

// Compared makes the line of a comparison in rounds: the i-th of ours and the
// i-th of theirs were measured one after the other.
func Compared(row, what, against, unit string, ours, theirs []float64) Line {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	t, r := SpreadOf(theirs), SpreadOf(ratios)
	return Line{Row: row, What: what, Against: against, Unit: unit, Ours: SpreadOf(ours), Theirs: &t, Ratio: &r}
}

// Measured makes the line of what has nothing beside it.
func Measured(row, what, unit string, ours ...float64) Line {
	return Line{Row: row, What: what, Unit: unit, Ours: SpreadOf(ours)}
}

// Judged is the line with a target, and whether it is met.
func (l Line) Judged(t Target) Line {
	judged := l.Ours
	if l.Ratio != nil {
		judged = *l.Ratio
	}
	met := t.Met(judged.Median)
	l.Target, l.Met = &t, &met
	return l
}

// Noted is the line with a remark.
func (l Line) Noted(note string) Line {
	l.Note = note
	return l
}

// Add adds lines in the order in which they are to be read.
func (r *Report) Add(lines ...Line) { r.Lines = append(r.Lines, lines...) }

// Write writes NAME.json and NAME.md into a folder.
func (r *Report) Write(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".md"), []byte(r.Markdown()), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
