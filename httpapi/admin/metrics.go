package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are what a node exposes on /metrics; docs/metrics.md documents each.
// Labels come from closed sets, never from a key, and every series is there from
// the start. What another package counts is read at each scrape.
type Metrics struct {
	registry *prometheus.Registry
	requests *requests
	s3       *s3
	freed    prometheus.Histogram
	waited   prometheus.Histogram
}

func newMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = newRequests(m.registry)
	m.s3 = newS3(m.registry)
	m.freed = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "larder_memory_evicted_age_seconds", Buckets: prometheus.ExponentialBuckets(1, 4, 11),
		Help: "Age of own chunks when the memory of an evicted one was free again, of one chunk in sixteen.",
	})
	m.waited = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "larder_revocation_wait_seconds", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		Help: "Time that a write which had to tell other nodes waited until none could hold a lease on its key.",
	})
	m.registry.MustRegister(m.freed, m.waited,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Build exposes what the node was built from.
func (m *Metrics) Build(version, commit, goVersion string) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "larder_build_info", Help: "1; the labels say what the node was built from.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "go": goVersion},
	})
	info.Set(1)
	m.registry.MustRegister(info)
}

// polled is a collector whose metrics are read together at each scrape.
type polled struct {
	descs []*prometheus.Desc
	read  func(emit func(desc int, value float64, labels ...string))
	types []prometheus.ValueType
}

var _ prometheus.Collector = (*polled)(nil)

// add describes another metric and returns its number.
func (p *polled) add(name, help string, t prometheus.ValueType, labels ...string) int {
	p.descs = append(p.descs, prometheus.NewDesc(name, help, labels, nil))
	p.types = append(p.types, t)
	return len(p.descs) - 1
}

// Describe implements prometheus.Collector.
func (p *polled) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range p.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (p *polled) Collect(ch chan<- prometheus.Metric) {
	p.read(func(desc int, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(p.descs[desc], p.types[desc], value, labels...)
	})
}
