package report

// Target is the bound that a measurement must keep.
type Target struct {
	Is    Bound   `json:"is"`
	Value float64 `json:"value"`
}

// Bound is the side on which the good values are.
type Bound string

// The bounds.
const (
	AtLeast Bound = "≥"
	AtMost  Bound = "≤"
	Exactly Bound = "="
)

// Met reports whether v keeps the bound.
func (t Target) Met(v float64) bool {
	switch t.Is {
	case AtLeast:
		return v >= t.Value
	case AtMost:
		return v <= t.Value
	case Exactly:
		return v == t.Value
	}
	return false
}

func (t Target) String() string { return string(t.Is) + " " + number(t.Value) }
