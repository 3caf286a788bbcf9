package admin

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"

	"larder/fill"
	"larder/fill/chunks"
	"larder/fill/tier"
	"larder/heads"
	"larder/httpapi"
	"larder/store"
	"larder/usage"
	"larder/writepath"
)

// value is that of one counter or gauge, or the count of one histogram; labels
// are names and values in turn.
func value(t *testing.T, m *Metrics, name string, labels ...string) float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			if f.GetName() == name && has(metric, labels) {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Errorf("there is no %s of %v", name, labels)
	return -1
}

func has(m *dto.Metric, labels []string) bool {
	found := 0
	for i := 0; i < len(labels); i += 2 {
		for _, l := range m.GetLabel() {
			if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
				found++
			}
		}
	}
	return 2*found == len(labels)
}

func TestRequestsAreCounted(t *testing.T) {
	m := New(zerolog.Nop()).Metrics
	for _, c := range []struct {
		served httpapi.Served
		labels []string
	}{
		{httpapi.Served{Op: "get", Status: 200, Source: chunks.Hot, Sent: 7}, []string{"op", "get", "status", "2xx", "source", "hot"}},
		{httpapi.Served{Op: "get", Status: 206, Source: chunks.S3, Broken: true}, []string{"op", "get", "status", "broken", "source", "s3"}},
		{httpapi.Served{Op: "head", Status: 304, Source: chunks.Peer}, []string{"op", "head", "status", "3xx", "source", "peer"}},
		{httpapi.Served{Op: "put", Status: 412, Received: 9}, []string{"op", "put", "status", "4xx", "source", ""}},
		{httpapi.Served{Op: "list", Status: 503}, []string{"op", "list", "status", "5xx", "source", ""}},
		{httpapi.Served{Op: "put", Status: 200, Source: chunks.Memory}, []string{"op", "other", "status", "2xx", "source", ""}}, // of no set
	} {
		before := value(t, m, "larder_http_requests_total", c.labels...)
		m.Request(c.served)
		if got := value(t, m, "larder_http_requests_total", c.labels...); got != before+1 {
			t.Errorf("%+v is not counted as %v", c.served, c.labels)
		}
	}
	if got := value(t, m, "larder_http_request_seconds", "op", "get", "source", "hot"); got != 1 {
		t.Errorf("%v times of hot copies", got)
	}
	if in, out := value(t, m, "larder_http_received_bytes_total"), value(t, m, "larder_http_sent_bytes_total"); in != 9 || out != 7 {
		t.Errorf("%v bytes received and %v sent", in, out)
	}
}

// Counting is on the path of every read.
func TestCountingTakesNoMemory(t *testing.T) {
	m := New(zerolog.Nop()).Metrics
	s := httpapi.Served{Op: "get", Status: 200, Source: chunks.Memory, Sent: 1024, Took: time.Millisecond}
	if n := testing.AllocsPerRun(100, func() { m.Request(s) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestS3Results(t *testing.T) {
	m := New(zerolog.Nop()).Metrics
	for result, err := range map[string]error{
		"ok": nil, "not_found": store.ErrNotFound, "refused": store.ErrPrecondition, "unavailable": store.ErrUnavailable,
		"unexpected": store.ErrUnexpected, "cancelled": fmt.Errorf("%w (%w)", context.Canceled, store.ErrUnavailable),
	} {
		m.S3("put", err, time.Second)
		if got := value(t, m, "larder_s3_requests_total", "op", "put", "result", result); got != 1 {
			t.Errorf("%v is not counted as %s", err, result)
		}
	}
	m.S3("put", errors.New("some other"), time.Second)
	if got := value(t, m, "larder_s3_requests_total", "op", "put", "result", "unavailable"); got != 2 {
		t.Errorf("an unknown error is not counted as unavailable: %v", got)
	}
	if got := value(t, m, "larder_s3_request_seconds", "op", "put"); got != 7 {
		t.Errorf("%v times", got)
	}
}

// What the parts of a node count themselves comes out under its own name.
func TestPartsAreRead(t *testing.T) {
	m := New(zerolog.Nop()).Metrics
	m.Memory(func() int64 { return 100 }, func() int64 { return 1 << 30 }, func() fill.Stats {
		return fill.Stats{Stats: chunks.Stats{Own: tier.Held{Bytes: 1, Chunks: 2, Evictions: 3}, Hot: tier.Held{Bytes: 4, Chunks: 5, Evictions: 6}}}
	})
	m.Heads(func() heads.Stats {
		return heads.Stats{Live: 7, Granted: 8, Dropped: 14, Refused: 15, Unsettled: 20}
	})
	m.Writes(func() writepath.Stats {
		return writepath.Stats{Acknowledged: 11, Busy: 12, Silent: 13,
			SilentWaitedOut: 16, DepartedWaitedOut: 17, Whole: 18, InParts: 19}
	})
	m.Usage(func() usage.Stats {
		return usage.Stats{Hits: 21, Seconds: 23.5, OverQuota: 24, OverRate: 25, Walks: 26, Failed: 27, Bytes: 0.28, Objects: 0.29}
	})
	m.Freed(time.Minute)
	m.Waited(time.Millisecond)
	m.Build("v1", "abc", "go1")
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{100, "larder_memory_limit_bytes", nil},
		{21, "larder_builds_saved_total", nil},
		{23.5, "larder_build_seconds_saved_total", nil},
		{24, "larder_limit_refusals_total", []string{"limit", "quota"}},
		{25, "larder_limit_refusals_total", []string{"limit", "rate"}},
		{26, "larder_usage_walks_total", nil},
		{27, "larder_usage_errors_total", nil},
		{0.28, "larder_limit_used_ratio", []string{"limit", "max_bytes"}},
		{0.29, "larder_limit_used_ratio", []string{"limit", "max_objects"}},
		{1, "larder_memory_bytes", []string{"copy", "own"}},
		{2, "larder_memory_chunks", []string{"copy", "own"}},
		{3, "larder_memory_evictions_total", []string{"copy", "own"}},
		{4, "larder_memory_bytes", []string{"copy", "hot"}},
		{5, "larder_memory_chunks", []string{"copy", "hot"}},
		{6, "larder_memory_evictions_total", []string{"copy", "hot"}},
		{7, "larder_heads", nil},
		{8, "larder_leases_granted_total", nil},
		{11, "larder_revocations_sent_total", []string{"result", "acknowledged"}},
		{12, "larder_revocations_sent_total", []string{"result", "busy"}},
		{13, "larder_revocations_sent_total", []string{"result", "silent"}},
		{14, "larder_revocations_received_total", []string{"result", "acknowledged"}},
		{15, "larder_revocations_received_total", []string{"result", "busy"}},
		{16, "larder_leases_waited_out_total", []string{"member", "silent"}},
		{17, "larder_leases_waited_out_total", []string{"member", "departed"}},
		{18, "larder_uploads_in_flight", []string{"kind", "whole"}},
		{19, "larder_uploads_in_flight", []string{"kind", "parts"}},
		{20, "larder_cluster_strangers", nil},
		{1, "larder_memory_evicted_age_seconds", nil},
		{1, "larder_revocation_wait_seconds", nil},
		{1, "larder_build_info", []string{"version", "v1", "commit", "abc", "go", "go1"}},
	} {
		if got := value(t, m, c.name, c.labels...); got != c.want {
			t.Errorf("%s of %v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}
