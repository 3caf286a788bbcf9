package fill

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/heads"
)

// saidOf is what an owner says beside a chunk that it has in memory.
func saidOf(chunk string) string { return fmt.Sprintf("memory %016x", xxh3.HashString(chunk)) }

// An owner's own checksum is taken for bytes that pass through alone: what stays here, and
// later chunks, of which others say the digest, are compared with their SHA-256.
func TestOwnersThatSumOtherBytes(t *testing.T) {
	spoil := func(g *giver, chunk int) (right string) {
		right = g.body
		g.body = "!" + right[1:]
		g.said = saidOf(g.body[:chunk])
		return right
	}
	f, g, _, k := relayed(t, 3000, 3000)
	read(t, f, k) // so that the next is copied
	if right := spoil(g, 3000); read(t, f, k) != right || f.Stats().Mismatches[chunks.Peer] != 1 {
		t.Errorf("a copy is of other bytes: %+v", f.Stats())
	}
	const chunk = 8 << 20
	f, g, _, k = relayed(t, 3*chunk, 3*chunk)
	f.heads.KeepLease(k, f.heads.Now(k), heads.Known{Head: listedIn(t, k, g.body, chunk)}, time.Minute)
	if right := spoil(g, chunk); read(t, f, k)[chunk:] != right[chunk:] || f.Stats().Mismatches[chunks.Peer] != 2 {
		t.Errorf("a later chunk is of other bytes: %+v", f.Stats())
	}
}

// An owner says the checksum of what its memory has.
func TestOwnersSayTheirSums(t *testing.T) {
	asker, ring, _, _, _ := newPair(t)
	var said []string
	ring.spoil = func(a *cluster.Answer) { said = append(said, string(a.Text)) }
	k := newKey(t)
	body := strings.Repeat("x", testChunk) + strings.Repeat("y", testChunk)
	listed(t, k, body)
	read(t, asker, k) // the first chunk comes with the head
	read(t, asker, k)
	for _, chunk := range []string{body[:testChunk], body[testChunk:]} {
		if !slices.Contains(said, saidOf(chunk)) {
			t.Errorf("%q does not have %q", said, saidOf(chunk))
		}
	}
}
