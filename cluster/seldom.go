package cluster

import (
	"sync"
	"time"
)

// seldom keeps warnings that would repeat themselves to one an interval for each kind.
type seldom struct {
	interval time.Duration

	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func newSeldom(interval time.Duration) *seldom {
	return &seldom{interval: interval, last: make(map[string]time.Time)}
}

// now reports whether a warning of that kind is due, and reckons with its being given. Kinds come from a closed set.
func (s *seldom) now(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[kind]; ok && time.Since(last) < s.interval {
		return false
	}
	s.last[kind] = time.Now()
	return true
}
