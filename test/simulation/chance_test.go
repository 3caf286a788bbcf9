package simulation

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// seeded is a source of its own for each name.
func seeded(seed uint64, name string) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(newChance(0, name))))
}

// chance is what is drawn for what happens at a time. It is no stream, which would
// give everything that follows another value once one thing happened in another
// order.
type chance uint64

// newChance is one of its own for each name.
func newChance(seed uint64, name string) chance {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // never fails
	return chance(mixed(seed) ^ h.Sum64())
}

// mixed spreads a number over 64 bits, as SplitMix64 does (Steele, Lea and Flood,
// "Fast splittable pseudorandom number generators", OOPSLA 2014).
func mixed(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// at is the draw of this number at a time.
func (c chance) at(now time.Time, number int) uint64 {
	return mixed(mixed(uint64(c)^uint64(now.UnixNano())) + uint64(number))
}

// share is a draw from 0 to 1.
func (c chance) share(now time.Time, number int) float64 {
	return float64(c.at(now, number)>>11) / (1 << 53)
}

// between is a draw from least to most.
func (c chance) between(now time.Time, number int, least, most time.Duration) time.Duration {
	return least + time.Duration(c.at(now, number)%uint64(most-least))
}
