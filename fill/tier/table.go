package tier

// compactedAtOnce is how many entries of a table are copied before others may have their
// turn: that takes a fraction of a millisecond.
const compactedAtOnce = 1024

// table is a map that can give back the memory of what was in it: those of Go never
// shrink.
type table[K comparable, V any] struct {
	now  map[K]V
	next map[K]V // what now is copied to; nil unless compact does that
}

func newTable[K comparable, V any]() table[K, V] { return table[K, V]{now: map[K]V{}} }

func (t *table[K, V]) set(name K, v V) {
	t.now[name] = v
	if t.next != nil {
		t.next[name] = v
	}
}

func (t *table[K, V]) remove(name K) {
	delete(t.now, name)
	delete(t.next, name)
}

// compact makes the table no larger than it has to be. It calls pause every now and then,
// and others may change the table meanwhile, but not compact it: what they change, set and
// remove change in the copy too. A range over a map skips what was removed before it came
// there, and may skip what is new, which is in the copy already.
func (t *table[K, V]) compact(pause func()) {
	t.next = map[K]V{}
	seen := 0
	for name := range t.now {
		if seen++; seen%compactedAtOnce == 0 {
			pause()
		}
		if v, ok := t.now[name]; ok { // it may have gone, or changed, in the pause
			t.next[name] = v
		}
	}
	t.now, t.next = t.next, nil
}
