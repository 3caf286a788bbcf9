package admin

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"larder/cluster"
	"larder/fill"
	"larder/store"
)

// Metrics are what a node counts. Labels come from closed sets, never from a key.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	sent     prometheus.Counter
	seconds  *prometheus.HistogramVec
	s3       *prometheus.CounterVec
}

func newMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "larder_http_requests_total", Help: "Requests by operation, class of status, and where the bytes came from.",
		}, []string{"op", "status", "source"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "larder_http_sent_bytes_total", Help: "Bytes of bodies sent to callers.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "larder_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
		}, []string{"op"}),
		s3: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "larder_s3_requests_total", Help: "Requests sent to S3 by operation and result.",
		}, []string{"op", "result"}),
	}
	m.fillLabels()
	m.registry.MustRegister(m.requests, m.sent, m.seconds, m.s3,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// fillLabels makes every series there is, so that none appears later.
func (m *Metrics) fillLabels() {
	sources := []string{"", string(fill.Memory), string(fill.Peer), string(fill.S3)}
	for _, op := range []string{"get", "head", "put", "delete", "list", "whoami", "other"} {
		m.seconds.WithLabelValues(op)
		for class := 2; class <= 5; class++ {
			for _, source := range sources {
				m.requests.WithLabelValues(op, strconv.Itoa(class)+"xx", source)
			}
		}
	}
	for _, op := range []string{
		"get", "get_range", "head", "put", "delete", "list", "ping", "begin", "part", "complete", "abort", "list_uploads",
	} {
		for _, result := range []string{"ok", "not_found", "refused", "unavailable", "unexpected", "cancelled"} {
			m.s3.WithLabelValues(op, result)
		}
	}
}

// Request counts a request that was answered.
func (m *Metrics) Request(op string, status int, source fill.Source, bytes int64, took time.Duration) {
	class := min(max(status/100, 2), 5)
	m.requests.WithLabelValues(op, strconv.Itoa(class)+"xx", string(source)).Inc()
	m.sent.Add(float64(bytes))
	m.seconds.WithLabelValues(op).Observe(took.Seconds())
}

// S3 counts a request that was sent to S3.
func (m *Metrics) S3(op string, err error, _ time.Duration) {
	m.s3.WithLabelValues(op, s3Result(err)).Inc()
}

func s3Result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrNotFound):
		return "not_found"
	case errors.Is(err, store.ErrPrecondition), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrMetadata):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, store.ErrUnexpected):
		return "unexpected"
	}
	return "unavailable"
}

// Memory exposes the memory tier.
func (m *Metrics) Memory(stats func() fill.Stats) {
	gauge := func(name, help string, read func(fill.Stats) int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(read(stats())) }))
	}
	gauge("larder_memory_bytes", "Bytes of chunks and chunk keys in the memory tier.", func(s fill.Stats) int64 { return s.Bytes })
	gauge("larder_memory_chunks", "Chunks in the memory tier.", func(s fill.Stats) int64 { return s.Chunks })
	gauge("larder_heads", "Heads that this node knows.", func(s fill.Stats) int64 { return s.Heads })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "larder_memory_evictions_total", Help: "Chunks evicted from the memory tier.",
	}, func() float64 { return float64(stats().Evictions) }))
}

// Cluster exposes the membership.
func (m *Metrics) Cluster(members func() []cluster.Member) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "larder_cluster_members", Help: "Members of the cluster that this node sees, itself included.",
	}, func() float64 { return float64(len(members())) }))
}
