package chaos

import (
	"math"
	"testing"
	"time"
)

// TestAgreedSince holds that one good look does not end a disagreement.
func TestAgreedSince(t *testing.T) {
	second := int64(time.Second)
	looks := func(agree string) (all []looked) {
		for i, c := range agree {
			all = append(all, looked{at: int64(i) * second, agree: c == 'y'})
		}
		return all
	}
	for _, c := range []struct {
		looks string
		after int64
		want  int64
	}{
		{"yyyyyyyyyy", 2 * second, 2 * second},
		{"nnnnyyyyyyyy", 2 * second, 4 * second},
		{"nnyynnyyyyyyyy", 2 * second, 6 * second}, // seen dead late
		{"nnyy", 2 * second, math.MaxInt64},        // nobody looked for long enough
		{"", 0, math.MaxInt64},
	} {
		if got := agreedSince(looks(c.looks), c.after); got != c.want {
			t.Errorf("%s: %d, not %d", c.looks, got/second, c.want/second)
		}
	}
}
