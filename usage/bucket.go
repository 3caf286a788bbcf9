package usage

import (
	"math"
	"time"
)

// bucket holds tokens that come at a rate. It may be in debt: what is to be had is
// taken first and waited for afterwards.
type bucket struct {
	tokens, rate, depth float64
	at                  time.Time // of tokens
}

// newBucket makes a full one.
func newBucket(now time.Time, least float64) bucket {
	return bucket{tokens: least, depth: least, at: now}
}

// set changes the rate. The bucket holds what comes in a tenth of a second, but no
// less than least, so that who begins after a pause is not over his limit at once.
func (b *bucket) set(now time.Time, rate, least float64) {
	b.refill(now)
	b.rate, b.depth = rate, math.Max(least, rate/10)
	b.tokens = math.Min(b.tokens, b.depth)
}

func (b *bucket) refill(now time.Time) {
	if since := now.Sub(b.at); since > 0 {
		b.tokens = math.Min(b.tokens+b.rate*since.Seconds(), b.depth)
		b.at = now
	}
}

// maxWait bounds what is said of a wait.
const maxWait = 24 * time.Hour

// wait is how long it takes until the bucket holds so many tokens.
func (b *bucket) wait(now time.Time, tokens float64) time.Duration {
	b.refill(now)
	if b.tokens >= tokens {
		return 0
	}
	seconds := (tokens - b.tokens) / math.Max(b.rate, math.SmallestNonzeroFloat64)
	if seconds > maxWait.Seconds() {
		return maxWait
	}
	return time.Duration(seconds * float64(time.Second))
}
