package history

import (
	"net/http"
	"testing"
)

// A removal by prefix has removed what was there, unless it says that it failed: then it may have.
func TestDropped(t *testing.T) {
	for content, want := range map[string]Outcome{
		`{"deleted": 1, "bytes": 7, "failed": []}`:                                               Done,
		`{"deleted": 0, "bytes": 0, "failed": []}`:                                               Done,
		`{"deleted": 0, "failed": [{"key": "k", "type": "urn:larder:problem:outcome-unknown"}]}`: Unknown,
		`cut o`: Unknown,
	} {
		o := &Op{Key: "k", Verb: Drop}
		if err := o.Answered(http.StatusOK, nil, []byte(content)); err != nil || o.Outcome != want || o.Took != (want == Done) {
			t.Errorf("%s: %v, took %v, %v", content, o.Outcome, o.Took, err)
		}
	}
	removal := &Op{Key: "k", Verb: Drop, Outcome: Done, Took: true, Call: 3, Ret: 4}
	put := &Op{Key: "k", Verb: Put, Value: "v", Outcome: Done, Took: true, Call: 1, Ret: 2}
	stale := &Op{Key: "k", Verb: Get, Outcome: Done, Found: "v", Call: 5, Ret: 6}
	if got := StaleReads([]*Op{put, removal, stale}); len(got) != 1 {
		t.Errorf("what was read after it was removed by prefix: %v", got)
	}
}
