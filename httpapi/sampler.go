package httpapi

import (
	"sync"
	"time"
)

const (
	sampleWindow = 10 * time.Second
	sampleBurst  = 10   // lines of one kind in a window
	sampleKinds  = 1000 // the most that are told apart; the rest are one kind
)

// sampler bounds the lines that are logged of one kind: the first ones of a window
// are, and the rest is counted.
type sampler struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func newSampler() *sampler { return &sampler{seen: map[string]int{}} }

// pass reports whether a line of this kind is to be logged. At the end of the
// window more hears how many were not, if there were any.
func (s *sampler) pass(kind string, more func(n int)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[kind]; !known && len(s.seen) >= sampleKinds {
		kind = ""
	}
	if s.seen[kind] == 0 {
		time.AfterFunc(sampleWindow, func() {
			if n := s.end(kind) - sampleBurst; n > 0 {
				more(n)
			}
		})
	}
	s.seen[kind]++
	return s.seen[kind] <= sampleBurst
}

// end ends a kind's window, and returns how many lines there were in it.
func (s *sampler) end(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.seen[kind]
	delete(s.seen, kind)
	return n
}
