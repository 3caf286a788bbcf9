package testcluster

import (
	"errors"
	"testing"
	"time"
)

const (
	// firstPause and longestPause are between two looks at a condition.
	firstPause   = time.Millisecond
	longestPause = 20 * time.Millisecond
	// soon bounds the wait for what goes on in the process of the test itself: two busy
	// cores and the race detector are slow.
	soon = 20 * time.Second
)

var errNotYet = errors.New("it does not hold")

// Eventually waits until cond returns nil, and ends the test with cond's last
// error if that takes longer than within.
func Eventually(t testing.TB, within time.Duration, what string, cond func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(pause) // between two looks
	}
}

// Soon is Eventually for what needs no more than 20 s, and whose error says it all.
func Soon(t testing.TB, cond func() error) {
	t.Helper()
	Eventually(t, soon, "waited in vain", cond)
}

// Holds waits as Soon does, until ok.
func Holds(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Eventually(t, soon, what, func() error {
		if ok() {
			return nil
		}
		return errNotYet
	})
}
