package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"larder/test/testcluster"
)

// testLists lists strategies by prefix and by each filter, in pages and as a stream.
func testLists(t *testing.T, c *testcluster.Cluster) {
	var all []string
	for _, name := range []string{"AAPL REINV", "AAPL|PAIR", "MSFT"} {
		for _, date := range []string{"2022-01-30T00:00:00+00:00", "2022-01-31T12:30:00Z"} {
			for _, hash := range []string{"aa", "bb"} {
				all = append(all, name+"|"+date+"||"+hash)
			}
		}
	}
	for i, key := range all {
		do(t, "PUT", strategy(c.Nodes[i%3], key), []byte(key)).want(t, 201)
	}
	pick := func(indexes ...int) (keys []string) {
		for _, i := range indexes {
			keys = append(keys, all[i])
		}
		return keys
	}
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"", all},
		{"prefix=AAPL", all[:8]},
		{"prefix=AAPL%7C", all[4:8]},
		{"name=AAPL+REINV", all[:4]},
		{"name=AAPL%7CPAIR&env_hash=bb", pick(5, 7)},
		{"env_date=2022-01-30", pick(0, 1, 4, 5, 8, 9)},
		{"env_date=2022-01-30T00:00:00%2B00:00", pick(0, 1, 4, 5, 8, 9)},
		{"env_date=2022-01-30T00:00:00Z&env_hash=aa", pick(0, 4, 8)},
		{"env_date=2022-01-31T13:30:00%2B01:00&prefix=MSFT", pick(10, 11)},
		{"prefix=Z", nil},
	} {
		if got := inPages(t, c.Nodes[0], tt.query, 1000); !slices.Equal(got, sorted(tt.want)) {
			t.Errorf("%s: %q, want %q", tt.query, got, sorted(tt.want))
		}
		if got := inPages(t, c.Nodes[1], tt.query, 3); !slices.Equal(got, sorted(tt.want)) {
			t.Errorf("%s, in pages: %q, want %q", tt.query, got, sorted(tt.want))
		}
		stream := do(t, "GET", c.Nodes[2].URL()+"/v1/strategies?"+tt.query, nil, "Accept", "application/x-ndjson").want(t, 200)
		var got []string
		for line := range bytes.Lines(stream.body) {
			var k listed
			if err := json.Unmarshal(line, &k); err != nil {
				t.Fatal(err)
			}
			got = append(got, k.Key)
		}
		if got = sorted(got); !slices.Equal(got, sorted(tt.want)) {
			t.Errorf("%s, as a stream: %q, want %q", tt.query, got, sorted(tt.want))
		}
	}
}

func inPages(t *testing.T, n *testcluster.Node, query string, limit int) (keys []string) {
	t.Helper()
	cursor := ""
	for {
		var page []listed
		page, cursor = list(t, n, "strategies", fmt.Sprintf("%s&limit=%d&cursor=%s", query, limit, url.QueryEscape(cursor)))
		if len(page) > limit {
			t.Fatalf("a page of %d where %d is the limit", len(page), limit)
		}
		for _, k := range page {
			keys = append(keys, k.Key)
		}
		if cursor == "" {
			return sorted(keys)
		}
	}
}

func sorted(keys []string) []string { return slices.Sorted(slices.Values(keys)) }
