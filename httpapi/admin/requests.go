package admin

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"larder/fill/chunks"
	"larder/httpapi"
)

// requests counts what researchers ask. Every series is looked up once, at the
// start, so that counting a request takes no memory.
type requests struct {
	total          map[outcome]prometheus.Counter
	seconds        map[way]prometheus.Observer
	received, sent prometheus.Counter
}

// outcome is the labels of one series of larder_http_requests_total.
type outcome struct {
	op, status string
	source     chunks.Source
}

// way is the labels of one series of larder_http_request_seconds.
type way struct {
	op     string
	source chunks.Source
}

const (
	otherOp      = "other"
	brokenStatus = "broken"
)

func newRequests(r prometheus.Registerer) *requests {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "larder_http_requests_total", Help: "Requests by operation, class of status, and where the bytes came from.",
	}, []string{"op", "status", "source"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "larder_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
	}, []string{"op", "source"})
	q := &requests{
		total: map[outcome]prometheus.Counter{}, seconds: map[way]prometheus.Observer{},
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "larder_http_received_bytes_total", Help: "Bytes of bodies received from callers.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "larder_http_sent_bytes_total", Help: "Bytes of bodies sent to callers.",
		}),
	}
	for _, op := range httpapi.Operations() {
		sources := []chunks.Source{""}
		if op == "get" || op == "head" {
			sources = append(sources, chunks.Memory, chunks.Hot, chunks.Peer, chunks.Disk, chunks.S3)
		}
		for _, source := range sources {
			q.seconds[way{op, source}] = seconds.WithLabelValues(op, string(source))
			for _, status := range slices.Concat(statuses(), []string{brokenStatus}) {
				q.total[outcome{op, status, source}] = total.WithLabelValues(op, status, string(source))
			}
		}
	}
	r.MustRegister(total, seconds, q.received, q.sent)
	return q
}

// statuses are the classes of status, 2 to 5.
func statuses() []string { return []string{"2xx", "3xx", "4xx", "5xx"} }

// Request counts a request that was answered.
func (m *Metrics) Request(s httpapi.Served) {
	o := outcome{op: s.Op, source: s.Source}
	switch {
	case s.Broken:
		o.status = brokenStatus
	case s.Status >= 500:
		o.status = "5xx"
	case s.Status >= 400:
		o.status = "4xx"
	case s.Status >= 300:
		o.status = "3xx"
	default:
		o.status = "2xx"
	}
	q := m.requests
	total, ok := q.total[o]
	if !ok { // the sets are closed
		o.op, o.source = otherOp, ""
		total = q.total[o]
	}
	total.Inc()
	q.seconds[way{o.op, o.source}].Observe(s.Took.Seconds())
	q.received.Add(float64(s.Received))
	q.sent.Add(float64(s.Sent))
}
