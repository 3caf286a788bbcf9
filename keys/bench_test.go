package keys

import (
	"fmt"
	"testing"
)

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New("acme", Strategies, aapl); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	k := mustKey(b, "acme", Strategies, aapl)
	b.ReportAllocs()
	for b.Loop() {
		k.Place()
	}
}

func BenchmarkFromPlace(b *testing.B) {
	place := mustKey(b, "acme", Strategies, aapl).Place()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromPlace(place); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	k := mustKey(b, "acme", Strategies, aapl)
	b.ReportAllocs()
	for b.Loop() {
		k.Hash()
	}
}

func BenchmarkHeaviest(b *testing.B) {
	for _, n := range []int{3, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			members := memberHashes(n)
			key := mustKey(b, "acme", Strategies, aapl).Hash()
			b.ReportAllocs()
			for b.Loop() {
				key += uint64(Heaviest(members, key))
			}
		})
	}
}

func BenchmarkChunk(b *testing.B) {
	k := mustKey(b, "acme", Strategies, aapl)
	b.ReportAllocs()
	for b.Loop() {
		Chunk(k, Version{"9a0364b9e99bb480dd25e1f0284c8555", "mfrggzdfmztwq2lknnwg23tpob"}, 3)
	}
}

func BenchmarkParseChunk(b *testing.B) {
	s := Chunk(mustKey(b, "acme", Strategies, aapl), Version{"9a0364b9e99bb480dd25e1f0284c8555", "mfrggzdfmztwq2lknnwg23tpob"}, 3)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := ParseChunk(s); err != nil {
			b.Fatal(err)
		}
	}
}
