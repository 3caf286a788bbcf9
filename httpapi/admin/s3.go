package admin

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"larder/store"
)

// s3 counts what the node asks of S3.
type s3 struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newS3(r prometheus.Registerer) *s3 {
	s := &s3{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "larder_s3_requests_total", Help: "Requests sent to S3 by operation and result.",
		}, []string{"op", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "larder_s3_request_seconds", Help: "Time of a request to S3, its body included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, []string{"op"}),
	}
	for _, op := range []string{
		"get", "get_range", "digests", "head", "put", "delete", "delete_many", "list", "ping", "begin", "part", "complete", "abort", "list_uploads", "list_parts", "probe", "usage",
	} {
		s.seconds.WithLabelValues(op)
		for _, result := range []string{"ok", "not_found", "refused", "unavailable", "unexpected", "cancelled"} {
			s.total.WithLabelValues(op, result)
		}
	}
	r.MustRegister(s.total, s.seconds)
	return s
}

// S3 counts a request that was sent to S3.
func (m *Metrics) S3(op string, err error, took time.Duration) {
	m.s3.total.WithLabelValues(op, s3Result(err)).Inc()
	m.s3.seconds.WithLabelValues(op).Observe(took.Seconds())
}

func s3Result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrNotFound):
		return "not_found"
	case errors.Is(err, store.ErrPrecondition), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrMetadata),
		errors.Is(err, store.ErrName):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, store.ErrUnexpected):
		return "unexpected"
	}
	return "unavailable"
}
