package tier

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// slow is what a FIFO does, in slices that are searched.
type slow struct {
	most              int64
	small, main, gone []slowEntry // the oldest first
	evictions         int64
}

type slowEntry struct {
	name, value int
	bytes       int64
	uses        int
	over        bool // of what is gone: it came back
}

func total(all []slowEntry) (n int64) {
	for _, e := range all {
		n += e.bytes
	}
	return n
}

func (s *slow) taken() int64 { return total(s.small) + total(s.main) + int64(len(s.gone))*ghostBytes }

func (s *slow) find(name int) *slowEntry {
	for _, all := range [][]slowEntry{s.small, s.main} {
		if i := at(all, name); i >= 0 {
			return &all[i]
		}
	}
	return nil
}

func at(all []slowEntry, name int) int {
	return slices.IndexFunc(all, func(e slowEntry) bool { return e.name == name && !e.over })
}

func (s *slow) get(name int) (int, bool) {
	e := s.find(name)
	if e == nil {
		return 0, false
	}
	e.uses = min(e.uses+1, mostUses)
	return e.value, true
}

func (s *slow) add(name, value int, bytes int64) bool {
	if s.find(name) != nil || bytes > s.most {
		return false
	}
	to := &s.small
	if i := at(s.gone, name); i >= 0 {
		s.gone[i].over = true
		to = &s.main
	}
	s.fit(s.most - bytes)
	*to = append(*to, slowEntry{name: name, value: value, bytes: bytes})
	return true
}

func (s *slow) remove(name int) {
	for _, all := range []*[]slowEntry{&s.small, &s.main} {
		if i := at(*all, name); i >= 0 {
			*all = slices.Delete(*all, i, i+1)
		}
	}
}

func (s *slow) remember(e slowEntry) {
	if i := at(s.gone, e.name); i >= 0 {
		s.gone[i].over = true // by the younger one
	}
	s.gone = append(s.gone, e)
}

// bound forgets who is gone for longer than there is memory for.
func (s *slow) bound(most int64) {
	units := func() (n int64) {
		for _, e := range s.gone {
			n += e.bytes / ghostUnit
		}
		return n
	}
	for len(s.gone) > 0 && units() > most/ghostUnit {
		s.gone = s.gone[1:]
	}
}

func (s *slow) fit(room int64) {
	for s.taken() > room && len(s.small)+len(s.main) > 0 {
		s.evict()
	}
	for s.taken() > room && len(s.gone) > 0 {
		s.gone = s.gone[1:]
	}
}

func (s *slow) evict() {
	for {
		if len(s.main) == 0 || total(s.small) > s.most/smallShare {
			e := s.small[0]
			s.small = s.small[1:]
			if e.uses < usesToStay {
				s.evictions++
				s.remember(slowEntry{name: e.name, bytes: e.bytes})
				s.bound(s.most / 2)
				return
			}
			e.uses = 0
			s.main = append(s.main, e)
			continue
		}
		e := s.main[0]
		s.main = s.main[1:]
		if e.uses == 0 {
			s.evictions++
			return
		}
		e.uses--
		s.main = append(s.main, e)
	}
}

// Whatever is done with it, a FIFO keeps what the slow one keeps, in as many bytes as
// it may.
func TestFIFOIsAsItIsSaidToBe(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		most := 1000 + r.Int64N(20_000)
		f, s := NewFIFO(most, func(_, v int) int64 { return int64(v) }, nil), &slow{most: most}
		for i := range 3000 {
			name := int(r.ExpFloat64() * 30)
			switch d := r.IntN(100); {
			case d < 60:
				v, ok := f.Get(name)
				if want, there := s.get(name); v != want || ok != there {
					t.Fatalf("seed %d, %d: Get(%d) is %d, %t, want %d, %t", seed, i, name, v, ok, want, there)
				}
			case d < 90:
				bytes := 1 + r.Int64N(1200)
				if got, want := f.Add(name, int(bytes)), s.add(name, int(bytes), bytes); got != want {
					t.Fatalf("seed %d, %d: Add(%d) is %t, want %t", seed, i, name, got, want)
				}
			case d < 94:
				f.Remove(name)
				s.remove(name)
			case d < 98:
				f.Remember(name, 500)
				if s.find(name) == nil && s.most >= 500 {
					s.remember(slowEntry{name: name, bytes: 500})
					s.bound(s.most)
					s.fit(s.most)
				}
			default:
				s.most = r.Int64N(20_000)
				f.Resize(s.most)
				s.bound(s.most)
				s.fit(s.most)
			}
			if got := f.Held(); got.Bytes != s.taken() || got.Bytes > s.most || got.Chunks != int64(len(s.small)+len(s.main)) || got.Evictions != s.evictions {
				t.Fatalf("seed %d, %d: %+v, want %d bytes of %d, %d and %d values, %d evictions", seed, i, got, s.taken(), s.most, len(s.small), len(s.main), s.evictions)
			}
			if v, ok := f.Peek(name); ok != (s.find(name) != nil) || ok && v != s.find(name).value {
				t.Fatalf("seed %d, %d: Peek(%d) is %d, %t", seed, i, name, v, ok)
			}
			if f.Remembers(name) != (at(s.gone, name) >= 0) {
				t.Fatalf("seed %d, %d: Remembers(%d) is %t", seed, i, name, f.Remembers(name))
			}
		}
	}
}

// What is read once does not drive out what is used.
func TestAScanLeavesWhatIsUsed(t *testing.T) {
	f := NewFIFO(100<<10, func(string, int) int64 { return 1 << 10 }, nil)
	for i := range 50 {
		f.Add(fmt.Sprint("used", i), i)
	}
	for range 2 {
		for i := range 50 {
			f.Get(fmt.Sprint("used", i))
		}
	}
	for i := range 10_000 {
		f.Add(fmt.Sprint("once", i), i)
	}
	for i := range 50 {
		if _, ok := f.Get(fmt.Sprint("used", i)); !ok {
			t.Errorf("%d is gone", i)
		}
	}
}

// One eviction looks at a bounded number of values, however often all were used.
func TestAnEvictionIsShort(t *testing.T) {
	const many = 10_000
	f := NewFIFO(many*100, func(int, int) int64 { return 100 }, nil)
	for i := range many {
		f.Add(i, i)
	}
	for range mostUses {
		for i := range many {
			f.Get(i)
		}
	}
	f.Add(many, 0)
	spared := 0
	for e := f.main.oldest; e != nil; e = e.newer {
		spared++
	}
	if f.evictions == 0 || spared > mostSpared*int(f.evictions) {
		t.Errorf("%d were spared in %d evictions", spared, f.evictions)
	}
}

func TestAgeOfWhatIsEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ages []time.Duration
		f := NewFIFO(10, func(_ string, v int) int64 { return int64(v) }, func(_ string, _ int, age time.Duration) { ages = append(ages, age) })
		f.Add("a", 10)
		f.Remove("a")
		f.Add("a", 10)
		time.Sleep(time.Hour)
		f.Add("b", 10)
		if len(ages) != 1 || ages[0].Round(time.Second) != time.Hour {
			t.Errorf("ages %v, want that of one", ages)
		}
		if f.Add("c", 11) || len(ages) != 1 {
			t.Error("what has no room alone was added, or cost others theirs")
		}
	})
}
