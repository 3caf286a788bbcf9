package keys

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestChunk(t *testing.T) {
	k := mustKey(t, "acme", Objects, "DAX 20220104")
	for _, c := range []struct {
		version Version
		n       int
		want    string
	}{
		{Version{"9a0364b9e99bb480dd25e1f0284c8555-3", "w1"}, 12, "12,4,7,34,2:acmeobjects9a0364b9e99bb480dd25e1f0284c8555-3w1DAX 20220104"},
		{Version{}, 0, "0,4,7,0,0:acmeobjectsDAX 20220104"},
		{Version{"\xff\x00:,", ""}, math.MaxInt, "9223372036854775807,4,7,4,0:acmeobjects\xff\x00:,DAX 20220104"},
		{Version{"", "\xff\x00:,"}, math.MaxInt, "9223372036854775807,4,7,0,4:acmeobjects\xff\x00:,DAX 20220104"},
	} {
		s := Chunk(k, c.version, c.n)
		if s != c.want {
			t.Errorf("Chunk = %q, want %q", s, c.want)
		}
		if gotK, gotV, gotN, err := ParseChunk(s); err != nil || gotK != k || gotV != c.version || gotN != c.n {
			t.Errorf("ParseChunk(%q) = %v, %q, %d, %v", s, gotK, gotV, gotN, err)
		}
	}
	for _, s := range []string{
		"", ":", "0", "0,4,7,0,0", "0,4,7,0:acmeobjectsa", "0,4,7,0,0,0:acmeobjectsa", "0,4,7,0,0:acmeobjects", "0,4,7,0,0:acmethingssa",
		"-1,4,7,0,0:acmeobjectsa", "+1,4,7,0,0:acmeobjectsa", "00,4,7,0,0:acmeobjectsa", ",4,7,0,0:acmeobjectsa", "0,4,7,,0:acmeobjectsa",
		"9223372036854775808,4,7,0,0:acmeobjectsa", "0,4,7,9,0:acmeobjectsa", "0,4,7,9223372036854775807,0:acmeobjectsa",
		"0,-4,7,0,0:acmeobjectsa", "0,4,10,0,0:acmestrategiesa",
	} {
		if k, version, n, err := ParseChunk(s); !errors.Is(err, ErrBadKey) {
			t.Errorf("ParseChunk(%q) = %v, %q, %d, %v, want ErrBadKey", s, k, version, n, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Chunk(k, Version{"9a0364b9e99bb480dd25e1f0284c8555", "w"}, 7) }); n != 1 {
		t.Errorf("Chunk allocates %v times, want once", n)
	}
}

func FuzzChunk(f *testing.F) {
	f.Add("acme", "a", "v", "w", 0, "acme", "b", "", "vw", 10)
	f.Add("acme", "a", "1,2:", "", 1, "acme", ",:", "\xff", "1,2:", 1)
	f.Fuzz(func(t *testing.T, org, name, etag, write string, n int, otherOrg, otherName, otherETag, otherWrite string, otherN int) {
		k, other := Key{org, Objects, name}, Key{otherOrg, Objects, otherName}
		v, otherV := Version{etag, write}, Version{otherETag, otherWrite}
		s := Chunk(k, v, n)
		same := k == other && v == otherV && n == otherN
		if (s == Chunk(other, otherV, otherN)) != same {
			t.Fatalf("%q is the chunk key of two", s)
		}
		gotK, gotV, gotN, err := ParseChunk(s)
		if _, bad := New(org, Objects, name); bad != nil || n < 0 {
			if !errors.Is(err, ErrBadKey) {
				t.Fatalf("ParseChunk(%q) = %v, want ErrBadKey", s, err)
			}
			return
		}
		if err != nil || gotK != k || gotV != v || gotN != n {
			t.Fatalf("ParseChunk(%q) = %v, %q, %d, %v", s, gotK, gotV, gotN, err)
		}
	})
}

func FuzzParseChunk(f *testing.F) {
	f.Add("0,4,7,1,1:acmeobjectsvwa")
	f.Add("10,4,10,0,0:acmestrategies" + aapl)
	f.Add("0,4,7,0,0:" + strings.Repeat("9", 40))
	f.Fuzz(func(t *testing.T, s string) {
		k, version, n, err := ParseChunk(s)
		if err == nil && Chunk(k, version, n) != s {
			t.Fatalf("%q is parsed to %v, %q, %d", s, k, version, n)
		}
	})
}
