package usage

import (
	"cmp"
	"math"
	"slices"
)

// fair shares a limit among those who want a part of it, so that the smallest part
// is as large as it can be (max-min fairness; Bertsekas and Gallager, "Data
// Networks", 6.5.2): who wants less than an equal part gets what he wants, and the
// others get equal parts of the rest. What nobody wants is divided equally. The
// parts' sum is the limit. A want may be infinite.
func fair(limit float64, wants []float64) []float64 {
	parts := make([]float64, len(wants))
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wants[a], wants[b]) })
	left := limit
	for n, i := range order {
		parts[i] = math.Min(wants[i], left/float64(len(order)-n))
		left -= parts[i]
	}
	for i := range parts {
		parts[i] += left / float64(len(parts))
	}
	return parts
}
