package admin

import (
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"larder/httpapi/overview"
)

// Numbers reads from the metrics what an overview of the cluster needs of this node.
func (m *Metrics) Numbers() overview.Numbers {
	n := overview.Numbers{Counters: overview.Counts{}, Gauges: overview.Counts{}}
	families, err := m.registry.Gather()
	if err != nil { // /metrics says the same
		return n
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			count(n, f.GetName(), labelsOf(metric), metric)
		}
	}
	return n
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

// count adds one series to what it is part of.
func count(n overview.Numbers, name string, labels map[string]string, m *dto.Metric) {
	value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
	switch name {
	case "larder_http_requests_total":
		if labels["op"] == "get" && labels["source"] != "" && labels["status"] != brokenStatus {
			n.Counters["reads_"+labels["source"]] += value
		}
		if labels["status"] == "5xx" {
			n.Counters["failed"] += value
		}
	case "larder_limit_refusals_total":
		if labels["limit"] == "quota" {
			n.Counters["over_limit"] += value
		}
	case "larder_s3_requests_total":
		if r := labels["result"]; r == "unavailable" || r == "unexpected" {
			n.Counters["s3_errors"] += value
		}
	case "larder_s3_request_seconds":
		n.Counters["s3_requests"] += float64(m.GetHistogram().GetSampleCount())
		for _, b := range m.GetHistogram().GetBucket() {
			n.Counters["s3_le_"+strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)] += float64(b.GetCumulativeCount())
		}
	case "larder_audit_total":
		if labels["result"] == "differs" {
			n.Counters["differing"] += value
		}
	case "larder_builds_total":
		if labels["result"] == "took_over" {
			n.Counters["took_over"] += value
		}
	case "larder_memory_bytes":
		n.Gauges["memory_"+labels["copy"]] += value
	case "larder_limit_used_ratio":
		n.Gauges["limit_used"] = max(n.Gauges["limit_used"], value)
	default:
		if counter, ok := counters()[name]; ok {
			n.Counters[counter] += value
		}
		if gauge, ok := gauges()[name]; ok {
			n.Gauges[gauge] += value
		}
	}
}

// counters are the names of metrics that are summed over their labels.
func counters() map[string]string {
	return map[string]string{
		"larder_leases_waited_out_total": "leases_waited", "larder_memory_evictions_total": "evictions",
		"larder_http_connections_refused_total": "turned_away", "larder_invariant_broken_total": "broken",
		"larder_digest_mismatch_total": "mismatches", "larder_config_file_errors_total": "file_errors",
		"larder_disk_errors_total": "disk_errors", "larder_disk_dropped_total": "disk_dropped", "larder_disk_written_total": "disk_written",
	}
}

func gauges() map[string]string {
	return map[string]string{
		"larder_memory_limit_bytes": "memory_limit", "larder_heads": "heads", "larder_cluster_members": "members",
		"larder_cluster_strangers": "unsettled", "larder_http_connections": "connections", "larder_expired_due": "expired_due",
		"larder_tls_certificate_end_timestamp_seconds": "certificate_end",
		"process_resident_memory_bytes":                "resident", "larder_process_memory_limit_bytes": "resident_limit", "larder_disk_bytes": "disk", "larder_disk_limit_bytes": "disk_limit",
	}
}
