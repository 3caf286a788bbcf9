package fill

import (
	"context"
	"errors"
	"testing"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// TestAudit holds that only a head that was live before and after the store's answer,
// and is another, is said to differ.
func TestAudit(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*Filler, keys.Key) // the store is asked
		after  func(*Filler, keys.Key)
		want   Verdict
	}{
		"nothing happens":            {want: Same},
		"another tool writes":        {before: func(_ *Filler, k keys.Key) { put(t, k, "v2") }, want: Differs},
		"another tool removes":       {before: func(_ *Filler, k keys.Key) { _ = testStore.Delete(t.Context(), k.Place()) }, want: Differs},
		"the head is dropped before": {before: func(f *Filler, k keys.Key) { f.heads.Drop(k); put(t, k, "v2") }, want: Changed},
		"the head is dropped after":  {before: func(_ *Filler, k keys.Key) { put(t, k, "v2") }, after: func(f *Filler, k keys.Key) { f.heads.Drop(k) }, want: Changed},
		"a write begins":             {before: func(f *Filler, k keys.Key) { begin(t, f, k); put(t, k, "v2") }, want: Changed},
	} {
		t.Run(name, func(t *testing.T) {
			f, st, _ := newFiller(t, nil)
			k := newKey(t)
			put(t, k, "v1")
			read(t, f, k)
			around := func(do func(*Filler, keys.Key)) func() {
				return func() {
					if do != nil {
						do(f, k)
					}
				}
			}
			st.interfere(around(c.before), around(c.after))
			if got := f.audit(k); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
			st.interfere(nil, nil)
			if n := f.Stats().Audits[c.want]; n != 1 {
				t.Errorf("%d are counted", n)
			}
			if _, live, _ := f.heads.Get(k); live != (c.want == Same) {
				t.Errorf("live afterwards: %v", live)
			}
		})
	}
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	f.heads.KeepOwned(k, f.heads.Now(k), heads.Known{Absent: true})
	if got := f.audit(k); got != Same {
		t.Errorf("an absent object: %s", got)
	}
	f.store = silent{f.store}
	if got := f.audit(k); got != Failed {
		t.Errorf("a store without an answer: %s", got)
	}
}

// silent is a store that gives no answer.
type silent struct{ Store }

// Head gives none.
func (silent) Head(context.Context, string) (store.Head, error) { return store.Head{}, errNoAnswer }

var errNoAnswer = errors.New("no answer")
