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
