package httpapi

import (
	"net/http"
	"sync/atomic"
	"time"
)

// sendStall is how long a client may take to accept what is being sent to it,
// for each megabyte and once more, and no less than for a chunk.
const sendStall = 30 * time.Second

// recorder remembers what was answered. It gives each write time by its length,
// so that a client that stalls is found out and one that is slow is not cut off.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	least  int64 // how many bytes each write gets the time of, however few it has
	// last tells that the answer is the last of its connection.
	last *atomic.Bool
}

// begin remembers the status of the answer, as its header is sent.
func (r *recorder) begin(status int) {
	if r.status != 0 || status < http.StatusOK {
		return
	}
	r.status = status
	if r.last.Load() {
		r.Header().Set("Connection", "close")
	}
}

func (r *recorder) WriteHeader(status int) {
	r.begin(status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.begin(http.StatusOK)
	deadline := time.Now().Add(sendStall * time.Duration(1+max(int64(len(b)), r.least)>>20))
	_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(deadline) // a writer without deadlines has none to keep
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// FlushError sends what was written so far.
func (r *recorder) FlushError() error {
	r.begin(http.StatusOK)
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController find the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
