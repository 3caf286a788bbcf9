// Package accesses is what caches are asked for, to compare what they keep: a trace of
// a real one, and keys that are drawn. It also has the cache that others are held
// against, an LRU.
//
// The trace is the first 300,000 requests of cluster 52 of Twitter's cache traces
// (github.com/twitter/cache-trace; Yang, Yue and Rashmi: "A large scale analysis of
// hundreds of in-memory cache clusters at Twitter", OSDI 2020), which are published
// under CC BY 4.0. Of each request it has the object and its size. It was made by
// the program in reduce from the sample of a million requests that the source archive of
// libcachesim 0.3.5 holds as src/libCacheSim/data/twitter_cluster52.csv.
package accesses

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed" // the trace
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Access is one request.
type Access struct {
	Object int   // counted from 0, in the order in which they come first
	Size   int64 // of the object, in bytes
}

// twitter is compressed by gzip, and holds for each request a number, as uvarint: how
// many requests ago the same object came last; or 0 if it comes for the first time,
// and then its size.
//
//go:embed twitter_cluster52.gz
var twitter []byte

// Twitter is the trace.
func Twitter() ([]Access, error) {
	r, err := gzip.NewReader(bytes.NewReader(twitter))
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	numbers := bufio.NewReader(r)
	var all []Access
	for objects := 0; ; {
		ago, err := binary.ReadUvarint(numbers)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil || ago > uint64(len(all)) {
			return nil, fmt.Errorf("trace: request %d: %d requests ago, %w", len(all), ago, err)
		}
		if ago > 0 {
			all = append(all, all[len(all)-int(ago)])
			continue
		}
		size, err := binary.ReadUvarint(numbers)
		if err != nil {
			return nil, fmt.Errorf("trace: request %d has no size: %w", len(all), err)
		}
		all = append(all, Access{Object: objects, Size: int64(size)})
		objects++
	}
}

// Zipf draws n requests for objects of one size, the k-th of them with a weight of
// 1/k^s: always the same ones.
func Zipf(objects, n int, s float64, size int64) []Access {
	sums := make([]float64, objects)
	total := 0.0
	for k := range sums {
		total += math.Pow(float64(k+1), -s)
		sums[k] = total
	}
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]Access, n)
	for i := range all {
		k, _ := slices.BinarySearch(sums, r.Float64()*total)
		all[i] = Access{Object: k, Size: size}
	}
	return all
}

// Data is how many objects there are, and their bytes.
func Data(all []Access) (objects int, size int64) {
	seen := map[int]bool{}
	for _, a := range all {
		if !seen[a.Object] {
			seen[a.Object] = true
			size += a.Size
		}
	}
	return len(seen), size
}

// LRU is the share of the requests from warm on that an LRU of so many bytes answers,
// where an object takes beside its bytes so many more.
func LRU(all []Access, warm int, most, beside int64) float64 {
	var held int64
	cache, err := simplelru.NewLRU(math.MaxInt, func(_ int, size int64) { held -= size })
	if err != nil {
		panic(err) // it refuses only sizes below one
	}
	hits := 0
	for i, a := range all {
		if _, ok := cache.Get(a.Object); ok {
			if i >= warm {
				hits++
			}
			continue
		}
		cache.Add(a.Object, a.Size+beside)
		for held += a.Size + beside; held > most; {
			cache.RemoveOldest()
		}
	}
	return float64(hits) / float64(len(all)-warm)
}
