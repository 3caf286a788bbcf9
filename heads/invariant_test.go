package heads

import (
	"testing"
	"time"
)

// TestBrokenInvariants holds that a head which must not be there is not served, and is
// counted.
func TestBrokenInvariants(t *testing.T) {
	negative := is("v1")
	negative.Head.Size = -1
	for name, c := range map[string]struct {
		until   time.Duration
		entry   entry
		writing bool
	}{
		"a lease longer than --lease":      {until: lease + time.Second, entry: entry{Known: is("v1")}},
		"a head for longer than it may be": {until: revalidate + time.Second, entry: entry{Known: is("v1"), owned: true}},
		"a head without a version":         {until: time.Millisecond, entry: entry{owned: true}},
		"a head of a negative size":        {until: time.Millisecond, entry: entry{Known: negative, owned: true}},
		"a head while the key is written":  {until: time.Millisecond, entry: entry{Known: is("v1"), owned: true}, writing: true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, net *network) {
				a, _ := pair(t, net)
				a.breaks = true
				if c.writing {
					a.begin(t)
				}
				s := a.of(key())
				s.mu.Lock()
				c.entry.until = time.Now().Add(c.until)
				s.entries.set(key(), c.entry)
				s.mu.Unlock()
				if got, lease := a.Grant(key(), "b"); lease != 0 {
					t.Errorf("it was granted: %v", got)
				}
				a.want(t, "")
				if n := a.Stats().Broken; n == 0 && c.entry.owned {
					t.Error("it was not counted")
				}
			})
		})
	}
}

// TestWriteWithoutMark holds that a write which was never marked publishes nothing.
func TestWriteWithoutMark(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, _ := pair(t, net)
		a.breaks = true
		a.begin(t).End(done("v1"))
		a.want(t, "")
		if n := a.Stats().Broken; n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}
