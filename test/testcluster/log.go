package testcluster

import (
	"bytes"
	"os"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

// Logger is silent unless LARDER_TEST_LOG is set.
func Logger() zerolog.Logger {
	if os.Getenv("LARDER_TEST_LOG") == "" {
		return zerolog.Nop()
	}
	return zerolog.New(os.Stderr).With().Timestamp().Logger()
}

// Logged is what was logged to it. Any goroutine may write, and ask.
type Logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write takes one line.
func (l *Logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// With returns the lines that hold all of the words.
func (l *Logged) With(words ...string) (found []string) {
next:
	for line := range strings.Lines(l.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// String is all that was logged.
func (l *Logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Reset forgets what was logged.
func (l *Logged) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}
