package chunks

import (
	"testing"

	"larder/budget"
)

// What is counted takes no more memory than that.
func TestBuffers(t *testing.T) {
	const chunk = 8 << 20
	p := newBuffers(chunk)
	for _, n := range []int64{1, budget.FreeLen, budget.FreeLen + 1, relayPiece - 1, relayPiece, relayPiece + 1, chunk - 1, chunk} {
		b := p.get(n)
		if got := int64(len(b.bytes)); got < n || got > max(n, budget.FreeLen) {
			t.Errorf("%d bytes for %d", got, n)
		}
		b.release()
	}
}

// What an owner says of a chunk is read as it was written, and an older release's as well.
func TestGivenText(t *testing.T) {
	for text, want := range map[string]struct {
		from   Source
		sum    uint64
		summed bool
	}{
		"memory":                   {Memory, 0, false},
		"s3":                       {S3, 0, false},
		"memory 00000000000000ff":  {Memory, 255, true},
		"disk ffffffffffffffff":    {Disk, 1<<64 - 1, true},
		"disk 1ffffffffffffffff":   {Disk, 1<<64 - 1, false},
		"memory ":                  {Memory, 0, false},
		"memory 00000000000000ff ": {Memory, 0, false},
	} {
		if from, sum, summed := parseGiven(text); from != want.from || summed != want.summed || summed && sum != want.sum {
			t.Errorf("%q: %s %x %v", text, from, sum, summed)
		}
	}
}
