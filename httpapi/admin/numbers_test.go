package admin

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/fill"
	"larder/fill/chunks"
	"larder/fill/tier/disk"
	"larder/heads"
	"larder/httpapi"
	"larder/store"
	"larder/usage"
	"larder/writepath"
)

// Numbers reads what the metrics count, and every metric that it sums up is there.
func TestNumbers(t *testing.T) {
	m := New(zerolog.Nop()).Metrics
	m.Memory(func() int64 { return 1 }, func() int64 { return 1 << 30 }, func() fill.Stats {
		return fill.Stats{Stats: chunks.Stats{Mismatches: map[chunks.Source]int64{chunks.S3: 0}}}
	})
	m.Heads(func() heads.Stats { return heads.Stats{} })
	m.Writes(func() writepath.Stats { return writepath.Stats{} })
	m.Disk(func() disk.Stats { return disk.Stats{} })
	m.Connections(func() (int, int64) { return 0, 0 })
	m.Files(map[string]func() (int64, time.Duration){"tokens": func() (int64, time.Duration) { return 0, 0 }})
	m.Certificate(func() time.Time { return time.Time{} })
	m.Usage(func() usage.Stats { return usage.Stats{OverQuota: 3, OverRate: 5} })
	m.Request(httpapi.Served{Op: "get", Status: 200, Source: chunks.Memory})
	m.Request(httpapi.Served{Op: "get", Status: 200, Source: chunks.S3})
	m.Request(httpapi.Served{Op: "put", Status: 503})
	m.Request(httpapi.Served{Op: "get", Status: 503, Broken: true}) // its caller has left
	m.S3("get", nil, 3*time.Millisecond)
	m.S3("put", store.ErrUnavailable, time.Second)
	n := m.Numbers()
	for name, want := range map[string]float64{
		"reads_memory": 1, "reads_s3": 1, "reads_peer": 0, "failed": 1, "over_limit": 3, "s3_requests": 2, "s3_errors": 1, "s3_le_0.00625": 1,
	} {
		if got, ok := n.Counters[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range families {
		known[f.GetName()] = true
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(counters())), slices.Collect(maps.Keys(gauges()))) {
		if !known[name] && name != "larder_cluster_members" { // which only a running cluster has
			t.Errorf("there is no metric %s", name)
		}
	}
}
