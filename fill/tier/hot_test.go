package tier

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// What is fetched for the second time lately is worth a copy, and what is fetched once
// leaves nothing behind.
func TestCopiesOfWhatComesAgain(t *testing.T) {
	_, hot, _ := New(fmt.Sprint("test", groups.Add(1)), 1<<20, nil)
	if hot.Known("a", 1000) || !hot.Known("a", 1000) || !hot.Wanted("a", 1000) || hot.Wanted("b", 1000) {
		t.Error("the first fetch is as the second")
	}
	hot.Keep("a", make([]byte, 1000))
	if b, ok := hot.Get("a"); !ok || len(b) != 1000 || !hot.Known("a", 1000) {
		t.Error("there is no copy")
	}
	for i := range 2000 { // more than there is memory for
		hot.Wanted(fmt.Sprint("once", i), 1000)
	}
	if hot.Wanted("b", 1000) {
		t.Error("what was fetched long ago is wanted")
	}
	hot.Keep("large", make([]byte, 2<<20))
	if b, ok := hot.Take("a"); !ok || len(b) != 1000 {
		t.Error("the copy does not go to who owns it now")
	}
	if h := hot.Held(); h.Chunks != 0 || h.Evictions != 0 {
		t.Errorf("%+v", h)
	}
}

// Whatever comes at once, and however the tier's bytes change, both parts together keep
// no more than they may, and what is read is whole.
func TestATierStaysWithinItsBytes(t *testing.T) {
	own, hot, _ := New(fmt.Sprint("test", groups.Add(1)), 1<<20, nil)
	check := func() {
		own.mu.Lock()
		defer own.mu.Unlock()
		if n := own.own.taken() + own.hot.taken(); n > own.most {
			t.Errorf("%d bytes are taken of %d", n, own.most)
		}
	}
	var all sync.WaitGroup
	for seed := range uint64(4) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 5))
			for range 3000 {
				n := r.IntN(400)
				name, b := fmt.Sprint(n), make([]byte, 1+n*40)
				switch r.IntN(8) {
				case 0:
					own.Resize(int64(100_000 + r.IntN(2_000_000)))
				case 1:
					hot.Wanted(name, int64(len(b)))
				case 2:
					hot.Keep(name, b)
				case 3:
					hot.Take(name)
				case 4:
					if b, ok := hot.Get(name); ok && len(b) != 1+n*40 {
						t.Errorf("a copy of %s has %d bytes", name, len(b))
					}
				default:
					if got, err := own.Fill(name, 0, func() ([]byte, error) { return b, nil }); err != nil || len(got) != len(b) {
						t.Errorf("%s has %d bytes, %v", name, len(got), err)
					}
				}
				check()
			}
		})
	}
	all.Wait()
}
