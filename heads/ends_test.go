package heads

import (
	"testing"
	"time"

	"larder/store"
)

func TestWhatHasExpiredIsAbsent(t *testing.T) {
	t.Parallel()
	moment := time.Unix(1767225600, 0)
	h := store.Head{Version: "v", Expires: moment}
	if is := Of(h, moment.Add(-time.Second)); is.Absent || !is.Ends.Equal(moment) || is.IsOver(moment.Add(-1)) || !is.IsOver(moment) {
		t.Errorf("before its moment: %+v", is)
	}
	for _, after := range []time.Duration{0, time.Hour} {
		if is := Of(h, moment.Add(after)); !is.Absent || !is.Expired.Equal(moment) || is.Head.Version != "v" {
			t.Errorf("%s after its moment: %+v", after, is)
		}
	}
	if is := Of(store.Head{Version: "v"}, moment); is.Absent || !is.Ends.IsZero() {
		t.Errorf("without a moment: %+v", is)
	}
}

// TestNoHeadOutlastsItsObject: neither the owner's, nor a lease that it grants, nor
// what was just written.
func TestNoHeadOutlastsItsObject(t *testing.T) {
	in(t, func(t *testing.T, net *network) {
		a, b := pair(t, net)
		h := store.Head{Version: "v1", Expires: time.Now().Add(20 * time.Second)}
		if !a.KeepOwned(key(), a.Now(key()), Of(h, time.Now())) {
			t.Fatal("not kept")
		}
		time.Sleep(15 * time.Second)
		asked := b.Now(key())
		granted, left := a.Grant(key(), "b")
		if left != 5*time.Second {
			t.Errorf("a lease of %s on an object with 5 s left", left)
		}
		b.KeepLease(key(), asked, granted.EndsIn(left, asked.At), left)
		time.Sleep(5*time.Second - time.Nanosecond)
		a.want(t, "v1")
		b.want(t, "v1")
		time.Sleep(time.Nanosecond)
		for name, n := range map[string]*node{"the owner": a, "the other": b} {
			if is, live, _ := n.Get(key()); live {
				t.Errorf("%s still trusts %+v", name, is)
			}
		}

		turn := a.upload(t)
		h = store.Head{Version: "v2", Expires: time.Now().Add(time.Second)}
		turn.End(Outcome{Done: true, Known: Of(h, time.Now())})
		a.want(t, "v2")
		time.Sleep(time.Second)
		if is, live, _ := a.Get(key()); live {
			t.Errorf("what was written is trusted past its moment: %+v", is)
		}
	})
}
