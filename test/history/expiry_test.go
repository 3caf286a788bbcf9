package history

import (
	"net/http"
	"testing"
	"time"
)

// What was put is there until its moment, and is seen for a second more at most.
func TestExpiry(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	at := func(seconds float64) int64 { return int64(seconds * float64(time.Second)) }
	put := &Op{Key: "k", Verb: Put, Value: "v", Life: 2, Call: at(1), Ret: at(1.5), Outcome: Done, Took: true}
	says := http.Header{"Expires": {began.Add(4 * time.Second).UTC().Format(http.TimeFormat)}}
	e, err := put.Expiry(says, began)
	if err != nil || e.Call != at(4) || e.Ret != at(5) {
		t.Fatalf("its moment: %v, %v", e, err)
	}
	read := func(from float64, found string) *Op {
		return &Op{Client: 1, Key: "k", Verb: Get, Found: found, Call: at(from), Ret: at(from + 0.1), Outcome: Done}
	}
	for name, c := range map[string]struct {
		read   *Op
		late   int
		strict string
	}{
		"before it":                {read(2, "v"), 0, "Ok"},
		"within a second of it":    {read(4.5, "v"), 0, "Ok"},
		"later":                    {read(5.1, "v"), 1, "Illegal"},
		"gone before it":           {read(2, ""), 0, "Illegal"},
		"gone within a second":     {read(4.5, ""), 0, "Ok"},
		"what another put is here": {read(6, "w"), 0, "Illegal"},
	} {
		ops := []*Op{put, e, c.read}
		if got := Expired(ops); len(got) != c.late {
			t.Errorf("%s: %d reads of what is over, want %d", name, len(got), c.late)
		}
		if v := Linearizable(ops); string(v.CheckResult) != c.strict {
			t.Errorf("%s: %s, want %s", name, v.CheckResult, c.strict)
		}
	}
	if _, err := put.Expiry(http.Header{}, began); err == nil {
		t.Error("an answer without the moment is taken")
	}
	for name, o := range map[string]*Op{
		"refused":        {Verb: Put, Life: 2, Outcome: Refused},
		"not created":    {Verb: Create, Life: 2, Outcome: Done},
		"kept for ever":  {Verb: Put, Outcome: Done, Took: true},
		"a read, no put": {Verb: Get, Outcome: Done},
	} {
		if e, err := o.Expiry(http.Header{}, began); e != nil || err != nil {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
	unknown := &Op{Key: "k", Verb: Put, Value: "v", Life: 2, Call: at(1), Ret: at(2), Outcome: Unknown}
	if e, _ := unknown.Expiry(nil, began); e == nil || e.Call != at(3) || e.Ret < at(60) {
		t.Errorf("of a put that may come later: %v", e)
	}
}
