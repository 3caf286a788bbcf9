package fill

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"larder/keys"
	"larder/store"
)

// An object that is longer or shorter than what was written is not served.
func TestObjectsOfAnotherLength(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 5*testChunk/32)
	for _, size := range []int64{2 * testChunk, int64(len(body)) - 1, int64(len(body)) + 1, 4 * testChunk} {
		f, _, _ := newFiller(t, nil)
		k := newKey(t)
		h := listed(t, k, body)
		s := store.Sums{Name: k.Place(), Size: size, Piece: testChunk, Digests: make([][32]byte, (size+testChunk-1)/testChunk)}
		for n := range s.Digests {
			s.Digests[n] = sha256.Sum256([]byte(body[min(n*testChunk, len(body)):min((n+1)*testChunk, len(body))]))
		}
		if _, err := testStore.Put(t.Context(), keys.Sums(k.Org, h.Write), store.Write{Body: s.Bytes()}); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t.Context(), f, k, Options{}); !errors.Is(err, store.ErrUnexpected) || got != "" {
			t.Errorf("%d bytes were written, %d are there: %d were read, %v", size, len(body), len(got), err)
		}
	}
}
