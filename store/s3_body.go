package store

import (
	"bytes"
	"errors"
	"sync"
)

var errWithdrawn = errors.New("the body was withdrawn")

// loan is a body that is lent to the HTTP client for one request. The client
// may still be sending it when it has returned an error already. Withdrawn, it
// gives no more bytes, so that the caller may use them for something else.
type loan struct {
	progress func() // called for each read of some bytes

	mu   sync.Mutex
	body *bytes.Reader // nil when withdrawn
}

func lend(body []byte, progress func()) *loan {
	return &loan{body: bytes.NewReader(body), progress: progress}
}

// Read implements io.Reader.
func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, errWithdrawn
	}
	l.progress()
	return l.body.Read(p)
}

// Seek implements io.Seeker.
func (l *loan) Seek(offset int64, whence int) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, errWithdrawn
	}
	return l.body.Seek(offset, whence)
}

// withdraw takes the body back: it returns when nothing reads it any more.
func (l *loan) withdraw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = nil
}
