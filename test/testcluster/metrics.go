package testcluster

import (
	"bytes"
	"fmt"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// S3Requests is how many requests of these operations (get, get_range, head,
// put, delete, list, ping) the running nodes have sent to S3 since each
// started, whatever came of them.
func (c *Cluster) S3Requests(ops ...string) int {
	c.t.Helper()
	total := 0.0
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		v, err := n.Metric("larder_s3_requests_total", func(labels map[string]string) bool {
			return slices.Contains(ops, labels["op"])
		})
		if err != nil {
			c.t.Fatal(err)
		}
		total += v
	}
	return int(total)
}

// Metric is the sum of the counters or gauges of this name whose labels are
// accepted; a nil accept takes all.
func (n *Node) Metric(name string, accept func(labels map[string]string) bool) (float64, error) {
	body, err := n.look("/metrics")
	if err != nil {
		return 0, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(linesAbout(name, body)))
	if err != nil {
		return 0, fmt.Errorf("read /metrics of %s: %w", n.Name, err)
	}
	family, ok := families[name]
	if !ok {
		return 0, fmt.Errorf("%s has no metric %s", n.Name, name)
	}
	total := 0.0
	for _, m := range family.GetMetric() {
		if accept == nil || accept(labelsOf(m)) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total, nil
}

// linesAbout is the lines of one metric: to read all of them takes 80 ms under the race
// detector, and the tests of builds look hundreds of times.
func linesAbout(name string, body []byte) []byte {
	var lines []byte
	for line := range bytes.Lines(body) {
		if bytes.Contains(line, []byte(name)) {
			lines = append(lines, line...)
		}
	}
	return lines
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}
