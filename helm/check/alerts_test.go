package check

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/promqltest"
)

// The series of three nodes, a sample a minute for 30 hours. In the notation
// of Prometheus' own tests a+bxn is a, a+b, … n times.
const healthy = `load 1m
  up{SEL,pod="a"} 1x1800
  up{SEL,pod="b"} 1x1800
  up{SEL,pod="c"} 1x1800
  larder_cluster_members{SEL,pod="a"} 3x1800
  larder_cluster_members{SEL,pod="b"} 3x1800
  larder_cluster_members{SEL,pod="c"} 3x1800
  larder_s3_requests_total{SEL,pod="a",op="get",result="ok"} 0+600x1800
  larder_s3_requests_total{SEL,pod="a",op="get",result="unavailable"} 0+1x1800
  larder_http_requests_total{SEL,pod="a",op="get",status="2xx",source="memory"} 0+5000x1800
  larder_http_requests_total{SEL,pod="a",op="get",status="2xx",source="hot"} 0+300x1800
  larder_http_requests_total{SEL,pod="a",op="get",status="2xx",source="peer"} 0+200x1800
  larder_http_requests_total{SEL,pod="a",op="get",status="2xx",source="s3"} 0+600x1800
  larder_http_requests_total{SEL,pod="a",op="get",status="5xx",source=""} 0+1x1800
  larder_audit_total{SEL,pod="a",result="same"} 0+10x1800
  larder_audit_total{SEL,pod="a",result="differs"} 0x1800
  larder_invariant_broken_total{SEL,pod="b"} 0x1800
  larder_disk_errors_total{SEL,pod="b",kind="corrupt"} 0x1800
  larder_builds_total{SEL,pod="a",result="built"} 0+20x1800
  larder_builds_total{SEL,pod="b",result="took_over"} 0+1x1800
  larder_revocation_wait_seconds_count{SEL,pod="a"} 0+50x1800
  larder_revocation_wait_seconds_count{SEL,pod="b"} 0+50x1800
  larder_http_requests_total{SEL,pod="a",op="put",status="5xx",source=""} 0+300x1800
  larder_limit_refusals_total{SEL,pod="a",limit="quota"} 0+300x1800
  larder_limit_used_ratio{SEL,pod="a",limit="max_bytes"} 0.8x1800
  larder_leases_waited_out_total{SEL,pod="a",member="silent"} 0+1x1800
  larder_leases_waited_out_total{SEL,pod="a",member="departed"} 0+1x1800
`

// TestAlertsFire holds that each alert is quiet while all is well and fires at
// the fault that it is for, and at no other.
func TestAlertsFire(t *testing.T) {
	rules := alerts(t)
	faults := map[string][]string{ // the series that the fault changes, and to what
		"LarderNodeDown": {
			`up{SEL,pod="c"} 1x1800`, `up{SEL,pod="c"} 0x1800`,
			`larder_cluster_members{SEL,pod="c"} 3x1800`, `larder_cluster_members{SEL,pod="c"} _x1800`,
			`larder_cluster_members{SEL,pod="a"} 3x1800`, `larder_cluster_members{SEL,pod="a"} 2x1800`,
			`larder_cluster_members{SEL,pod="b"} 3x1800`, `larder_cluster_members{SEL,pod="b"} 2x1800`,
		},
		"LarderClusterSplit": {
			`larder_cluster_members{SEL,pod="c"} 3x1800`, `larder_cluster_members{SEL,pod="c"} 1x1800`,
		},
		"LarderStaleHead": {
			`result="differs"} 0x1800`, `result="differs"} 0x1780 1x20`,
		},
		"LarderDiskErrors": {
			`kind="corrupt"} 0x1800`, `kind="corrupt"} 0x1780 1x20`,
		},
		"LarderS3Errors": {
			`result="unavailable"} 0+1x1800`, `result="unavailable"} 0+100x1800`,
		},
		"LarderRequestErrors": {
			`status="5xx",source=""} 0+1x1800`, `status="5xx",source=""} 0+400x1800`,
		},
		"LarderHitRatioCollapse": { // the last 100 minutes
			`source="memory"} 0+5000x1800`, `source="memory"} 0+5000x1700 8500000+100x100`,
			`source="s3"} 0+600x1800`, `source="s3"} 0+600x1700 1020000+5000x100`,
		},
		"LarderLimitNear": {
			`limit="max_bytes"} 0.8x1800`, `limit="max_bytes"} 0.95x1800`,
		},
		"LarderBuildsTakenOver": {
			`result="took_over"} 0+1x1800`, `result="took_over"} 0+10x1800`,
		},
		"LarderWritesWait": {
			`member="silent"} 0+1x1800`, `member="silent"} 0+20x1800`,
		},
	}
	expectFiring(t, rules, healthy, "")
	for name := range rules {
		changes, ok := faults[name]
		if !ok {
			t.Errorf("no test of %s", name)
			continue
		}
		for i := 0; i < len(changes); i += 2 {
			if !strings.Contains(healthy, changes[i]) {
				t.Fatalf("%s: nothing to change: %s", name, changes[i])
			}
		}
		expectFiring(t, rules, strings.NewReplacer(changes...).Replace(healthy), name)
	}
	expectFiring(t, rules, "load 1m\n", "LarderNodeDown") // nothing is scraped
}

// expectFiring holds that at the end of the series one rule fires, or none.
func expectFiring(t *testing.T, rules map[string]string, series, want string) {
	t.Helper()
	storage := promqltest.LoadedStorage(t, strings.ReplaceAll(series, "SEL", `namespace="research",job="shared"`))
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	for name, expression := range rules {
		query, err := engine.NewInstantQuery(t.Context(), storage, nil, expression, minutes(1790))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v, err := query.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := len(v) > 0; got != (name == want) {
			t.Errorf("where %q is to fire, %s answers %v", want, name, v)
		}
		query.Close()
	}
}
