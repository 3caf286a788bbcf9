package tier

import (
	"strings"
	"sync"
	"testing"
)

func TestCopiesKeepWhatWasUsedLast(t *testing.T) {
	one := sizeOf("a", make([]byte, 24))
	room := 4 * one
	c := newHot(func() int64 { return room })
	has := func(want string) {
		t.Helper()
		var got []string
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			c.mu.Lock()
			_, there := c.kept.Get(key)
			c.mu.Unlock()
			if there {
				got = append(got, key)
			}
		}
		if strings.Join(got, "") != want {
			t.Errorf("holds %v, want %s", got, want)
		}
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		c.Keep(key, make([]byte, 24))
	}
	if h := c.Held(); h != (Held{Bytes: 4 * one, Chunks: 4}) {
		t.Errorf("%+v", h)
	}
	if v, ok := c.Get("a"); !ok || len(v) != 24 {
		t.Error("a is not there")
	}
	c.Keep("a", make([]byte, 24)) // it is there
	c.Keep("e", make([]byte, 24)) // at the cost of b
	has("acde")
	c.Keep("b", make([]byte, 4*one)) // never fits
	has("acde")
	if h := c.Held(); h != (Held{Bytes: 4 * one, Chunks: 4, Evictions: 1}) {
		t.Errorf("%+v", h)
	}
	room = 3*one - 1
	c.fit()
	has("de")
	room = 0
	c.fit()
	if h := c.Held(); h != (Held{Evictions: 5}) {
		t.Errorf("%+v", h)
	}
}

// A copy that comes while an own chunk does leaves no more than there is room for:
//
//	copy: asks for the room
//	                          own chunk: takes all of it, makes the copies fit
//	copy: is kept
func TestCopyAndOwnChunkAtOnce(t *testing.T) {
	var own sync.WaitGroup
	var c *Hot
	room := int64(1000)
	c = newHot(func() int64 {
		was := room
		if room > 0 {
			room = 0
			own.Go(c.fit)
			if c.mu.TryLock() { // else it waits until the copy is kept
				c.mu.Unlock()
				own.Wait()
			}
		}
		return was
	})
	c.Keep("a", make([]byte, 24))
	own.Wait()
	if h := c.Held(); h.Bytes > 0 {
		t.Errorf("%+v, and no room", h)
	}
}
