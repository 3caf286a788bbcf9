package fill

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"larder/keys"
	"larder/store"
)

// However the memory shrinks and grows while it is read, every reader gets the right
// bytes, and in the end the tier is within what there is.
func TestReadersOutlastEveryResize(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	var ks []keys.Key
	var hs []store.Head
	for range 40 {
		k := newKey(t)
		ks, hs = append(ks, k), append(hs, put(t, k, strings.Repeat(k.Name[len(k.Name)-1:], 3*testChunk)))
	}
	stop := make(chan struct{})
	var resizing, readers sync.WaitGroup
	resizing.Go(func() {
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				return
			default:
				f.Resize(planOf((4+n%64)*testChunk, testChunk))
			}
		}
	})
	for seed := range uint64(4) {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 9))
			for range 300 {
				i := r.IntN(len(ks))
				v, _, err := chunkAt(f, f.chunks.Of(ks[i], hs[i], r.IntN(3)))
				if want := strings.Repeat(ks[i].Name[len(ks[i].Name)-1:], testChunk); err != nil || v != want {
					t.Errorf("%s: %d bytes, %v", ks[i].Name, len(v), err)
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	resizing.Wait()
	f.Resize(planOf(4*testChunk, testChunk))
	if s := f.Stats(); s.Own.Bytes+s.Hot.Bytes > 4*testChunk || s.Underway != 0 {
		t.Errorf("%+v", s)
	}
}
