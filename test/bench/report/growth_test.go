package report

import "testing"

func TestGrowth(t *testing.T) {
	r := Report{Growth: true}
	r.Add(
		Grown("Nodes", "PUT", "µs", "3", "30", []float64{10}, []float64{16}),
		Grown("Nodes", "GET", "µs", "3", "30", []float64{10}, []float64{15}).Noted("warm"),
		Grown("Nodes", "lists", "times", "3", "30", []float64{0}, []float64{2}),
		Measured("Keys", "start", "ms", 5),
	)
	const want = `1 of 2 unit costs grow by more than a half.

- Nodes, PUT: 1.60 times from 3 to 30


## Nodes

| cost | unit | in the small case | | in the large case | | growth |
|---|---|---|---|---|---|---|
| PUT | µs | 10.0 | 3 | 16.0 | 30 | **1.60** |
| GET; warm | µs | 10.0 | 3 | 15.0 | 30 | 1.50 |
| lists | times | 0.00 | 3 | 2.00 | 30 |  |

## Keys

| cost | unit | in the small case | | in the large case | | growth |
|---|---|---|---|---|---|---|
| start | ms |  |  | 5.00 |  |  |
`
	if got := r.Markdown(); got != want {
		t.Errorf("Markdown:\n%s\nwant:\n%s", got, want)
	}
}
