package httpapi

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// sendStall is how long a client may take to accept what is being sent to it,
// for each megabyte and once more, and no less than for a chunk.
const sendStall = 30 * time.Second

// sendPiece is how many bytes are written at once while others may wait for the
// memory that they take: so few that a client of the slowest rate that is borne
// takes one in time.
const sendPiece = 64 << 10

// errSlow ends an answer whose client is slow while others wait for memory.
var errSlow = errors.New("the client took less than 16 KiB a second while others waited for memory")

// recorder remembers what was answered. It gives each write time by its length,
// so that a client that stalls is found out and one that is slow is not cut off.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	least  int64 // how many bytes each write gets the time of, however few it has
	// last tells that the answer is the last of its connection.
	last *atomic.Bool
	// taker, unless it is nil, is told of each piece that the client has taken.
	taker interface{ Moved(n int) }
	isCut atomic.Bool
}

// cut ends the answer from outside, also a Write that waits.
func (r *recorder) cut() {
	r.isCut.Store(true)
	_ = r.setDeadline(time.Now()) // a writer without deadlines ends with its next Write
}

func (r *recorder) setDeadline(t time.Time) error {
	return http.NewResponseController(r.ResponseWriter).SetWriteDeadline(t)
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

func (r *recorder) Write(b []byte) (written int, err error) {
	r.begin(http.StatusOK)
	deadline := time.Now().Add(sendStall * time.Duration(1+max(int64(len(b)), r.least)>>20))
	_ = r.setDeadline(deadline) // a writer without deadlines has none to keep
	if r.taker == nil || len(b) <= sendPiece {
		return r.write(b)
	}
	for err == nil && written < len(b) {
		var n int
		n, err = r.write(b[written:min(written+sendPiece, len(b))])
		written += n
		r.taker.Moved(n)
	}
	return written, err
}

// write is a Write of one piece.
func (r *recorder) write(b []byte) (int, error) {
	if r.isCut.Load() { // looked at after the deadline was set, which cut sets anew
		return 0, errSlow
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	if err != nil && r.isCut.Load() {
		err = errSlow
	}
	return n, err
}

// FlushError sends what was written so far.
func (r *recorder) FlushError() error {
	r.begin(http.StatusOK)
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController find the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
