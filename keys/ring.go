package keys

import (
	"crypto/sha256"

	"github.com/cespare/xxhash/v2"
)

// The ring is rendezvous hashing (Thaler and Ravishankar, "Using name-based
// mappings to increase hit rates", 1998): every member has a score for every
// key, and the member with the highest one owns it. A member that joins takes
// keys only for itself, and a member that leaves gives up only its own.

// Hash returns the key's place on the ring. It does not allocate.
func (k Key) Hash() uint64 {
	var buf [maxText]byte
	return xxhash.Sum64(k.appendTo(buf[:0]))
}

// Digest returns half of the SHA-256 of the key, which no two keys share: what stands
// for it where many are kept. It does not allocate.
func (k Key) Digest() [16]byte {
	var buf [maxText]byte
	sum := sha256.Sum256(k.appendTo(buf[:0]))
	return [16]byte(sum[:16])
}

// maxText is the most bytes that appendTo appends.
const maxText = maxOrg + len(Strategies) + maxName + 2

// appendTo appends a text that no other key has.
func (k Key) appendTo(text []byte) []byte {
	text = append(text, k.Org...)
	text = append(text, 0) // neither an org nor a service holds one
	text = append(text, k.Service...)
	text = append(text, 0)
	return append(text, k.Name...)
}

// ChunkHash returns the place on the ring of the n-th chunk of every version
// of k. The owner of a key owns its first chunk, so that a small object is
// found in one hop: ChunkHash(k, 0) is k.Hash(). The others spread.
func ChunkHash(k Key, n int) uint64 {
	h := k.Hash()
	if n == 0 {
		return h
	}
	return mix(h + uint64(n)*goldenGamma)
}

// HashMember returns the hash of a member's stable name, to be weighed by Heaviest.
func HashMember(name string) uint64 { return xxhash.Sum64String(name) }

// score returns the weight of a member for a key, from their hashes. For one
// key, different members' hashes have different scores.
func score(member, key uint64) uint64 { return mix(member ^ key) }

// Heaviest returns the index of the member with the highest score for the key;
// of equal ones the first, and -1 if there are no members.
func Heaviest(members []uint64, key uint64) int {
	best, heaviest := -1, uint64(0)
	for i, m := range members {
		if s := score(m, key); best < 0 || s > heaviest {
			best, heaviest = i, s
		}
	}
	return best
}

// goldenGamma is 2^64 divided by the golden ratio, made odd: SplitMix64's step.
const goldenGamma = 0x9e3779b97f4a7c15

// mix is a permutation of the 64-bit numbers in which every bit of the input
// changes every bit of the output about half of the time: variant 13 of David
// Stafford's finalisers, as in SplitMix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
