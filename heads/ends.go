package heads

import (
	"time"

	"larder/store"
)

// Of is what a head of the store means at a moment, by this node's wall clock: that of
// an object whose own moment has come is absence. From here on only the time that is
// left counts, so that clocks which are set, or differ between nodes, do no harm.
func Of(h store.Head, now time.Time) Known {
	is := Known{Head: h}
	if h.Expires.IsZero() {
		return is
	}
	left := h.Expires.Sub(now)
	if left <= 0 {
		return is.Over()
	}
	return is.EndsIn(left, now)
}

// EndsIn is what is known, of an object that had so much time left at a moment.
func (is Known) EndsIn(left time.Duration, at time.Time) Known {
	is.Ends = at.Add(left)
	return is
}

// Over is what is known once the object's moment has come. It still says which object
// the store holds.
func (is Known) Over() Known { return Known{Absent: true, Expired: is.Head.Expires, Head: is.Head} }

// IsOver reports whether the object's moment had come at some time.
func (is Known) IsOver(at time.Time) bool { return !is.Ends.IsZero() && !at.Before(is.Ends) }

// within is the time until which a head may be trusted: not past its object's moment.
func (is Known) within(until time.Time) time.Time {
	if !is.Ends.IsZero() && is.Ends.Before(until) {
		return is.Ends
	}
	return until
}
