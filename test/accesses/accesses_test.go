package accesses

import (
	"math"
	"testing"
)

func TestZipf(t *testing.T) {
	const n = 200_000
	counts := make([]int, 10)
	for _, a := range Zipf(10, n, 0.99, 1) {
		counts[a.Object]++
	}
	total := 0.0
	for k := range counts {
		total += math.Pow(float64(k+1), -0.99)
	}
	for k, count := range counts {
		want := n * math.Pow(float64(k+1), -0.99) / total
		if math.Abs(float64(count)-want) > 0.05*want {
			t.Errorf("%d came %d times, want about %.0f", k, count, want)
		}
	}
}

func TestLRU(t *testing.T) {
	var all []Access
	for _, object := range []int{1, 2, 1, 3, 2, 1} {
		all = append(all, Access{Object: object, Size: 9})
	}
	if got := LRU(all, 2, 20, 1); got != 0.25 {
		t.Errorf("two entries: %v, want 1 of 4", got)
	}
	if got := LRU(all, 3, 39, 1); got != 2.0/3 {
		t.Errorf("three entries: %v, want 2 of 3", got)
	}
}

func TestTwitter(t *testing.T) {
	all, err := Twitter()
	if err != nil {
		t.Fatal(err)
	}
	if objects, size := Data(all); len(all) != 300_000 || objects != 54_710 || size != 11_336_604 {
		t.Errorf("%d requests for %d objects of %d bytes", len(all), objects, size)
	}
}
