package testcluster

import (
	"testing"
	"time"
)

// poll is the pause between two looks at a condition.
const poll = 20 * time.Millisecond

// Eventually waits until cond returns nil, and ends the test with cond's last
// error if that takes longer than within.
func Eventually(t testing.TB, within time.Duration, what string, cond func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(poll)
	}
}
