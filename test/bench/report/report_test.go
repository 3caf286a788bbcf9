package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		want    float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		before := append([]float64(nil), test.samples...)
		if got := Median(test.samples); got != test.want {
			t.Errorf("Median(%v) = %v, want %v", test.samples, got, test.want)
		}
		if !slices.Equal(before, test.samples) {
			t.Errorf("Median changed its samples from %v to %v", before, test.samples)
		}
	}
}

func TestSpreadString(t *testing.T) {
	for _, test := range []struct {
		spread Spread
		want   string
	}{
		{SpreadOf(nil), "0.00"},
		{SpreadOf([]float64{1}), "1.00"},
		{SpreadOf([]float64{61234, 59000, 1200000}), "61,234 (59,000–1,200,000)"},
		{SpreadOf([]float64{0.0123, 12.34, 1.239}), "1.24 (0.012–12.3)"},
		{SpreadOf([]float64{-1234}), "-1,234"},
		{SpreadOf([]float64{-123}), "-123"},
	} {
		if got := test.spread.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// The ratio is taken round by round, and not of two medians from different rounds.
func TestComparedByRounds(t *testing.T) {
	l := Compared("row", "case", "other", "req/s", []float64{10, 40, 90}, []float64{10, 20, 30})
	if *l.Ratio != (Spread{Median: 2, Min: 1, Max: 3, N: 3}) {
		t.Errorf("ratio %+v", *l.Ratio)
	}
}

func TestJudged(t *testing.T) {
	compared := Compared("row", "case", "other", "ms", []float64{4}, []float64{2})
	for _, test := range []struct {
		line   Line
		target Target
		met    bool
	}{
		{compared, Target{AtLeast, 2}, true},
		{compared, Target{AtLeast, 2.01}, false},
		{compared, Target{AtMost, 2}, true},
		{compared, Target{AtMost, 1.99}, false},
		{Measured("row", "case", "requests", 1, 1, 1), Target{Exactly, 1}, true},
		{Measured("row", "case", "requests", 2), Target{Exactly, 1}, false},
	} {
		if l := test.line.Judged(test.target); *l.Met != test.met {
			t.Errorf("%s of %v, %v: met is %v", test.target, test.line.Ours, test.line.Ratio, *l.Met)
		}
	}
	if compared.Target != nil {
		t.Error("judging changed the line itself")
	}
}

func TestWrite(t *testing.T) {
	r := Report{Machine: map[string]string{"CPUs": "2", "Go": "go1"}, Short: true}
	r.Add(
		Compared("GET", "1 KiB", "nginx", "req/s", []float64{10}, []float64{20}).Judged(Target{AtLeast, 0.8}),
		Measured("GET", "a|b", "bytes", 5).Judged(Target{AtMost, 6}).Noted("why"),
		Measured("PUT", "1 KiB", "ms", 7),
	)
	dir := filepath.Join(t.TempDir(), "results")
	if err := r.Write(dir, "table"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "table.md"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `1 of 2 targets are met, by the medians. Missed:

- GET, 1 KiB against nginx

A short run, for development: the numbers are rough.

- CPUs: 2
- Go: go1

## GET

| | unit | Larder | against | the other | ratio | target | met |
|---|---|---|---|---|---|---|---|
| 1 KiB | req/s | 10.0 | nginx | 20.0 | 0.500 | ≥ 0.800 | **no** |
| a\|b; why | bytes | 5.00 |  |  |  | ≤ 6.00 | yes |

## PUT

| | unit | Larder | against | the other | ratio | target | met |
|---|---|---|---|---|---|---|---|
| 1 KiB | ms | 7.00 |  |  |  |  |  |
`
	if string(b) != want {
		t.Errorf("Markdown:\n%s\nwant:\n%s", b, want)
	}
	b, err = os.ReadFile(filepath.Join(dir, "table.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Errorf("JSON gives back\n%+v\nof\n%+v", back, r)
	}
	if err := r.Write(filepath.Join(dir, "table.md"), "x"); err == nil || !strings.Contains(err.Error(), "write the report") {
		t.Errorf("a folder that is a file: %v", err)
	}
}
