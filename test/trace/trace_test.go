package trace

import (
	"strings"
	"testing"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// script makes the events of a test, a second apart unless said otherwise.
type script struct {
	now    time.Time
	events []Event
}

func head(version string) heads.Known {
	if version == "absent" {
		return heads.Known{Absent: true}
	}
	return heads.Known{Head: store.Head{Version: version}}
}

// do adds an event at a node.
func (s *script) do(node string, kind heads.EventKind, change func(*Event)) {
	s.now = s.now.Add(time.Second)
	e := Event{At: s.now, Node: node, Event: heads.Event{Kind: kind, Key: keys.Key{Name: "k"}, Asked: s.now}}
	if change != nil {
		change(&e)
	}
	s.events = append(s.events, e)
}

// write is a write of a version, without its publication.
func (s *script) write(node, version string) {
	s.do(node, heads.Began, nil)
	s.do(node, heads.Marked, nil)
	s.do(node, heads.Done, func(e *Event) { e.Known = head(version) })
}

// keep keeps a version at an owner, which asked so long ago.
func (s *script) keep(node, version string, ago time.Duration) {
	s.do(node, heads.Kept, func(e *Event) {
		e.Known, e.Owned, e.Asked = head(version), true, e.At.Add(-ago)
		e.Until = e.Asked.Add(time.Minute)
	})
}

// grant gives a lease that is kept at once.
func (s *script) grant(from, to, version string, late time.Duration) {
	s.do(from, heads.Granted, func(e *Event) { e.Known, e.Peer, e.Until = head(version), to, e.At.Add(10*time.Second) })
	s.do(to, heads.Kept, func(e *Event) {
		e.Known, e.Asked = head(version), e.At.Add(-time.Second)
		e.Until = e.Asked.Add(10*time.Second + late)
	})
}

func (s *script) hit(node, version string) {
	s.do(node, heads.Hit, func(e *Event) { e.Known = head(version) })
}

// TestCheck holds the checker to traces whose verdict is known.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*script)
		want string // a part of what is wrong; empty if nothing is
	}{
		"a write, a read, a lease": {func(s *script) {
			s.write("A", "v1")
			s.keep("A", "v1", 0)
			s.grant("A", "B", "v1", 0)
			s.hit("B", "v1")
		}, ""},
		"what was never written": {func(s *script) {
			s.write("A", "v1")
			s.keep("A", "v2", 0)
		}, "held no"},
		"what was replaced before it was asked for": {func(s *script) {
			s.write("A", "v1")
			s.write("A", "v2")
			s.keep("A", "v1", 0)
		}, "held no"},
		"either while the outcome is unknown": {func(s *script) {
			s.write("A", "v1")
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Unsure, func(e *Event) { e.Until = e.At.Add(2 * time.Second) })
			s.now = s.now.Add(5 * time.Second)
			s.keep("A", "v1", 0)
		}, ""},
		"written before its time was over, and seen after": {func(s *script) {
			s.write("A", "v1")
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Unsure, func(e *Event) { e.Until = e.At.Add(2 * time.Second) })
			s.now = s.now.Add(time.Minute)
			s.keep("A", "v2", 0)
		}, ""},
		"not written before its time was over, and seen after": {func(s *script) {
			s.write("A", "v1")
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Unsure, func(e *Event) { e.Until = e.At.Add(2 * time.Second) })
			s.now = s.now.Add(time.Minute)
			s.keep("B", "v1", 0)
			s.do("B", heads.Dropped, nil)
			s.keep("B", "v2", 0)
		}, "held no"},
		"both, the one after the other": {func(s *script) {
			s.write("A", "v1")
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Unsure, func(e *Event) { e.Until = e.At.Add(2 * time.Second) })
			s.keep("B", "v2", 0)
			s.do("B", heads.Dropped, nil)
			s.keep("B", "v1", 0)
		}, "held no"},
		"asked for under the mark of an unknown outcome": {func(s *script) {
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Unsure, func(e *Event) { e.Until = e.At.Add(5 * time.Second) })
			s.keep("A", "absent", 0)
		}, "rule 13"},
		"a head that was dropped since it was asked for": {func(s *script) {
			s.do("A", heads.Dropped, nil)
			s.keep("A", "absent", 3*time.Second)
		}, "rule 4"},
		"a lease from the arrival": {func(s *script) {
			s.keep("A", "absent", 0)
			s.grant("A", "B", "absent", time.Second)
		}, "rule 4"},
		"an upload while another has a lease": {func(s *script) {
			s.keep("A", "absent", 0)
			s.grant("A", "B", "absent", 0)
			s.write("A", "v1")
		}, "rule 10"},
		"a mark while another has a lease, and no upload": {func(s *script) {
			s.keep("A", "absent", 0)
			s.grant("A", "B", "absent", 0)
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Undone, nil)
		}, ""},
		"an upload once the lease is over": {func(s *script) {
			s.keep("A", "absent", 0)
			s.grant("A", "B", "absent", 0)
			s.do("A", heads.Began, nil)
			s.now = s.now.Add(10 * time.Second)
			s.do("A", heads.Marked, nil)
		}, ""},
		"an answer from a lease that is over": {func(s *script) {
			s.keep("A", "absent", 0)
			s.now = s.now.Add(time.Hour)
			s.hit("A", "absent")
		}, "rule 1"},
		"a mark after it was told to give way": {func(s *script) {
			s.do("A", heads.Began, nil)
			s.do("A", heads.Revoked, func(e *Event) { e.Peer = "B" })
			s.do("A", heads.Marked, nil)
		}, "rule 11"},
		"two writes at once": {func(s *script) {
			s.do("A", heads.Began, nil)
			s.do("A", heads.Began, nil)
		}, "rule 8"},
		"a head of its own while members are unsettled": {func(s *script) {
			s.do("A", heads.Changed, func(e *Event) { e.Unsettled = 1 })
			s.keep("A", "absent", 0)
		}, "rule 5"},
		"what rested is answered once all are settled": {func(s *script) {
			s.keep("A", "absent", 0)
			s.do("A", heads.Changed, func(e *Event) { e.Unsettled, e.Vouched = 1, true })
			s.do("A", heads.Resumed, nil)
			s.do("A", heads.Changed, func(e *Event) { e.Vouched = true })
			s.hit("A", "absent")
		}, ""},
		"what rests is answered": {func(s *script) {
			s.keep("A", "absent", 0)
			s.do("A", heads.Changed, func(e *Event) { e.Unsettled, e.Vouched = 1, true })
			s.hit("A", "absent")
		}, "rule 1"},
		"what rested is answered though one did not vouch": {func(s *script) {
			s.keep("A", "absent", 0)
			s.do("A", heads.Changed, func(e *Event) { e.Unsettled, e.Vouched = 1, true })
			s.do("A", heads.Changed, nil)
			s.hit("A", "absent")
		}, "rule 1"},
		"what rested is answered though it was dropped": {func(s *script) {
			s.keep("A", "absent", 0)
			s.do("A", heads.Changed, func(e *Event) { e.Unsettled, e.Vouched = 1, true })
			s.do("A", heads.Dropped, nil)
			s.do("A", heads.Resumed, nil)
			s.hit("A", "absent")
		}, "rule 1"},
		"published although the members changed": {func(s *script) {
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", heads.Changed, nil)
			s.do("A", heads.Done, func(e *Event) { e.Known = head("v1") })
			s.do("A", heads.Published, func(e *Event) { e.Known, e.Until = head("v1"), e.At.Add(time.Second) })
		}, "rule 14"},
		"kept after it has retired": {func(s *script) {
			s.do("A", heads.Retired, nil)
			s.keep("A", "absent", 0)
		}, "rule 18"},
		"a node that ended with an upload": {func(s *script) {
			s.do("A", heads.Began, nil)
			s.do("A", heads.Marked, nil)
			s.do("A", Ended, nil)
			s.keep("B", "v1", 0)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{now: time.Unix(0, 0)}
			c.do(s)
			p := Protocol{Lease: 10 * time.Second, Revalidate: time.Minute, Agreed: func(time.Time) bool { return true }}
			b, _ := Check(p, "k", s.events)
			switch {
			case b == nil && c.want == "":
			case b == nil:
				t.Errorf("nothing is wrong, and %q was to be", c.want)
			case c.want == "" || !strings.Contains(b.Why, c.want):
				t.Errorf("%v, and %q was to be wrong", b, c.want)
			}
		})
	}
}
