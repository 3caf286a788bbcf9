package store

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
)

func TestSums(t *testing.T) {
	for _, s := range []Sums{
		{Name: "v1/acme/objects/k", Size: 0, Piece: 1},
		{Name: "v1/acme/objects/k", Size: 10, Piece: 4, Digests: make([][sha256.Size]byte, 3)},
		{Name: "v1/acme/objects/k", Size: 8, Piece: 4, Digests: [][sha256.Size]byte{{1}, {2}}},
	} {
		got, err := ParseSums(s.Bytes())
		if err != nil || got.Name != s.Name || got.Size != s.Size || got.Piece != s.Piece || !slices.Equal(got.Digests, s.Digests) {
			t.Errorf("%+v came back as %+v, %v", s, got, err)
		}
		for n := range s.Bytes() {
			if got, err := ParseSums(s.Bytes()[:n]); err == nil {
				t.Errorf("%d bytes of it are %+v", n, got)
			}
		}
	}
	long := Sums{Name: string(make([]byte, 1024)), Size: 1 << 40, Piece: 1 << 20, Digests: make([][sha256.Size]byte, 1<<20)}
	if got, err := ParseSums(long.Bytes()[:SumsName]); err == nil || got.Name != long.Name {
		t.Errorf("the beginning tells the name %q", got.Name)
	}
}

// FuzzParseSums wants whatever is taken to be what Bytes makes.
func FuzzParseSums(f *testing.F) {
	f.Add(Sums{Name: "v1/acme/objects/k", Size: 10, Piece: 4, Digests: make([][sha256.Size]byte, 3)}.Bytes())
	f.Add([]byte(sumsMagic + "\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00"))
	f.Add([]byte(sumsMagic + "\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSums(b); err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Fatalf("%x is taken for %+v", b, s)
		}
	})
}
