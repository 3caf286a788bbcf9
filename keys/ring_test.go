package keys

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"time"
)

// TestHashStays holds the hashes still: nodes of different releases must agree
// who owns what.
func TestHashStays(t *testing.T) {
	k := mustKey(t, "acme", Strategies, aapl)
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"Hash", k.Hash(), 0xa2f594b7c7341481},
		{"ChunkHash", ChunkHash(k, 1), 0xc59ca95ea525c3ac},
		{"HashMember", HashMember("larder-0"), 0xcbf327546beecb73},
		{"Score", score(HashMember("larder-0"), k.Hash()), 0x72d0fae48ffe74d5},
	} {
		if c.got != c.want {
			t.Errorf("%s = %#x, want %#x", c.what, c.got, c.want)
		}
	}
}

func TestHash(t *testing.T) {
	long := strings.Repeat("a", 512)
	seen := make(map[uint64]Key)
	for _, k := range []Key{
		{"acme", Objects, "a"}, {"acme", Objects, "b"}, {"acme", Strategies, aapl}, {"acme", Objects, aapl},
		{"acm", Objects, "eobjectsa"}, {"a", Objects, "a"}, {long[:63], Strategies, long},
	} {
		h := k.Hash()
		if other, ok := seen[h]; ok {
			t.Errorf("%v and %v have the hash %#x", k, other, h)
		}
		seen[h] = k
		if ChunkHash(k, 0) != h {
			t.Errorf("the first chunk of %v is elsewhere", k)
		}
		for n := 1; n < 100; n++ {
			if c := ChunkHash(k, n); seen[c] != (Key{}) {
				t.Errorf("chunk %d of %v has the hash of %v", n, k, seen[c])
			} else {
				seen[c] = k
			}
		}
		if n := testing.AllocsPerRun(10, func() { ChunkHash(k, 3) }); n != 0 {
			t.Errorf("ChunkHash of %v allocates %v times", k, n)
		}
	}
}

// TestChunksSpread holds that the chunks of one large object use the memory of
// all members.
func TestChunksSpread(t *testing.T) {
	k := mustKey(t, "acme", Objects, "large")
	members := memberHashes(10)
	counts := make([]int, len(members))
	const chunks = 10_000
	for n := range chunks {
		counts[Heaviest(members, ChunkHash(k, n))]++
	}
	for i, c := range counts {
		// The standard deviation is 30.
		if c < chunks/10-150 || c > chunks/10+150 {
			t.Errorf("member %d has %d of %d chunks", i, c, chunks)
		}
	}
}

func TestHeaviest(t *testing.T) {
	if i := Heaviest(nil, 1); i != -1 {
		t.Errorf("of no members %d is the heaviest", i)
	}
	if i := Heaviest([]uint64{7, 7}, 1); i != 0 {
		t.Errorf("of equal members %d is the heaviest", i)
	}
	// The inverse of mix is 0 at 0: even the lowest score wins alone.
	if i := Heaviest([]uint64{7}, 7); i != 0 || score(7, 7) != 0 {
		t.Errorf("a lone member is not the heaviest: %d, score %d", i, score(7, 7))
	}
}

// TestScoreAvalanche holds that each bit of either hash changes each bit of the
// score half of the time.
func TestScoreAvalanche(t *testing.T) {
	const rounds = 4000
	var flips [64][64]int
	for r := range uint64(rounds) {
		member, key := mix(r*goldenGamma), mix((r+rounds)*goldenGamma)
		for in := range 64 {
			diff := score(member, key) ^ score(member, key^1<<in)
			for ; diff != 0; diff &= diff - 1 {
				flips[in][bits.TrailingZeros64(diff)]++
			}
		}
	}
	for in := range flips {
		for out, n := range flips[in] {
			// The standard deviation is 32.
			if n < rounds/2-190 || n > rounds/2+190 {
				t.Errorf("bit %d changes bit %d in %d of %d", in, out, n, rounds)
			}
		}
	}
}

// TestBalance holds, over a million strategy keys, what the ring promises: the
// heaviest member has at most 1.02 times the mean, and a member that joins
// takes at most 1.02 times its share and moves nothing between the others.
func TestBalance(t *testing.T) {
	hashes := strategyHashes(1_000_000)
	for _, n := range []int{3, 5, 10, 50} {
		members := memberHashes(n + 1)
		counts := make([]int, n)
		moved := 0
		for _, h := range hashes {
			before, after := Heaviest(members[:n], h), Heaviest(members, h)
			counts[before]++
			if after == n {
				moved++
			} else if after != before {
				t.Fatalf("at %d members a key moves from %d to %d when another one joins", n, before, after)
			}
		}
		heaviest := 0
		for _, c := range counts {
			heaviest = max(heaviest, c)
		}
		load := float64(heaviest) * float64(n) / float64(len(hashes))
		share := float64(moved) * float64(n+1) / float64(len(hashes))
		t.Logf("%2d members: heaviest %.4f of the mean, a join moves %.4f of its share", n, load, share)
		if load > 1.02 {
			t.Errorf("at %d members the heaviest has %.4f of the mean", n, load)
		}
		if share > 1.02 {
			t.Errorf("at %d members a join moves %.4f of its share", n, share)
		}
	}
}

func memberHashes(n int) []uint64 {
	members := make([]uint64, n)
	for i := range members {
		members[i] = HashMember(fmt.Sprintf("larder-%d", i))
	}
	return members
}

// strategyHashes returns the hashes of n strategy keys: 1,000 names, and for
// each of them a key a day.
func strategyHashes(n int) []uint64 {
	first := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	hashes := make([]uint64, n)
	for i := range hashes {
		s := Strategy{
			Name:    fmt.Sprintf("S%03d REINV STRATEGY", i%1000),
			EnvDate: first.AddDate(0, 0, i/1000).Format("2006-01-02T15:04:05-07:00"),
			EnvHash: fmt.Sprintf("%016x%016x", mix(uint64(i)), mix(uint64(i)+goldenGamma)),
		}
		hashes[i] = Key{Org: "acme", Service: Strategies, Name: s.String()}.Hash()
	}
	return hashes
}
