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

// Bytes that others may wait for the memory of are written in pieces, so that it
// is seen how fast the client takes them. All others are written at once.
const (
	// slowPiece is so little that a client of the slowest rate that is borne takes
	// it in time.
	slowPiece  = 64 << 10
	firstPiece = 256 << 10
	// pieceTime is how long a piece should take a client.
	pieceTime = 250 * time.Millisecond
	// kernelTakes is how much of an answer a kernel may take before its client has
	// taken anything. It says nothing of the client's rate.
	kernelTakes = 4 << 20
)

// errSlow ends an answer whose client is slow while others wait for memory.
var errSlow = errors.New("the client took less than 16 KiB a second while others waited for memory")

// taker is told of each piece that the client has taken, while somebody watches how
// fast it takes them.
type taker interface {
	IsWatched() bool
	Moved(n int)
}

// recorder remembers what was answered. It gives each write time by its length,
// so that a client that stalls is found out and one that is slow is not cut off.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	least  int64 // how many bytes each write gets the time of, however few it has
	// last tells that the answer is the last of its connection.
	last  *atomic.Bool
	taker taker // nil if nobody ever watches
	piece int   // how much is written at once then; 0 before the first
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

// stallOf is how long a client may take for a write of so many bytes.
func stallOf(n int, least int64) time.Duration {
	return sendStall * time.Duration(1+max(int64(n), least)>>20)
}

func (r *recorder) Write(b []byte) (written int, err error) {
	r.begin(http.StatusOK)
	deadline := time.Now().Add(stallOf(len(b), r.least))
	_ = r.setDeadline(deadline) // a writer without deadlines has none to keep
	if len(b) <= slowPiece || r.taker == nil || !r.taker.IsWatched() {
		return r.write(b)
	}
	if r.piece == 0 {
		r.piece = firstPiece
	}
	for err == nil && written < len(b) {
		began := time.Now()
		var n int
		n, err = r.write(b[written:min(written+r.piece, len(b))])
		written += n
		r.taker.Moved(n)
		r.pace(n, time.Since(began))
	}
	return written, err
}

// pace sets the size of the next piece by how long the client took for one of n
// bytes.
func (r *recorder) pace(n int, took time.Duration) {
	most := firstPiece
	if r.bytes > kernelTakes {
		most = int(max(r.least, firstPiece))
	}
	fits := int64(n) * int64(pieceTime) / max(int64(took), 1)
	r.piece = int(min(max(fits, slowPiece), int64(most)))
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
