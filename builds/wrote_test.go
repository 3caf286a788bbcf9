package builds

import (
	"testing"

	"larder/heads"
	"larder/store"
)

// Rule 22: a claim ends with a write, before any look finds out.
func TestAWriteEndsTheClaim(t *testing.T) {
	for want, is := range map[Kind]heads.Known{Built: {Head: store.Head{Version: "v1"}}, Lost: {Absent: true}} {
		b := newBench(t)
		b.say("A", who("w1"))
		b.say("A", b.takes("A", "w1"))
		b.tbl.mark(key, "")
		b.tbl.unmark(b.now, key, "", heads.Outcome{Done: true, Known: is})
		b.want("A", "w1", want)
		if c := b.tbl.keys[key].claim; c != nil {
			t.Errorf("after a write there is a claim, %+v", c)
		}
	}
}
