package report

import (
	"slices"
	"strconv"
)

// Spread is where the samples of a measurement lie.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// SpreadOf sums samples up; of none it is zero.
func SpreadOf(samples []float64) Spread {
	if len(samples) == 0 {
		return Spread{}
	}
	return Spread{Median: Median(samples), Min: slices.Min(samples), Max: slices.Max(samples), N: len(samples)}
}

// Median is the middle sample, or the mean of the two in the middle; of none it is 0.
func Median(samples []float64) float64 {
	n := len(samples)
	if n == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// String is the median, and the range if there is one.
func (s Spread) String() string {
	if s.Min == s.Max {
		return number(s.Median)
	}
	return number(s.Median) + " (" + number(s.Min) + "–" + number(s.Max) + ")"
}

// number writes three significant digits, and all of those before the point.
func number(f float64) string {
	abs := max(f, -f)
	switch {
	case abs >= 100:
		return grouped(strconv.FormatFloat(f, 'f', 0, 64))
	case abs >= 10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case abs == 0 || abs >= 1:
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
	return strconv.FormatFloat(f, 'f', 3, 64)
}

// grouped puts commas between the thousands of a whole number.
func grouped(digits string) string {
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return sign + digits
}
