package history

import "testing"

func TestTwoHolders(t *testing.T) {
	never := func(int64, int64) bool { return false }
	spans := []Span{
		{Key: "a", Holder: "1", Granted: 1, From: 1, To: 5},
		{Key: "a", Holder: "1", Granted: 1, From: 4, To: 8}, // attached again
		{Key: "a", Holder: "2", Granted: 6, From: 6, To: 9},
		{Key: "b", Holder: "3", Granted: 2, From: 2, To: 9},
		{Key: "a", Holder: "4", Granted: 9, From: 9, To: 12},
	}
	if pairs := TwoHolders(spans, nil, never); len(pairs) != 1 || pairs[0][0].Holder != "1" || pairs[0][1].Holder != "2" {
		t.Errorf("two hold a claim: %v", pairs)
	}
	if pairs := TwoHolders(spans, nil, func(from, to int64) bool { return from <= 3 && to >= 3 }); len(pairs) != 0 {
		t.Errorf("two hold a claim that may have been lost: %v", pairs)
	}
	for call, ended := range map[int64]bool{5: true, 7: false} {
		late := map[string][]*Op{"a": {{Verb: Claimed, Call: call, Took: true, Outcome: Done}, {Verb: Claimed, Call: 2, Base: "other", Took: true}}}
		if pairs := TwoHolders(spans, late, never); (len(pairs) == 0) != ended {
			t.Errorf("two hold a claim whose base was replaced at %d: %v", call, pairs)
		}
	}
}

func TestClaimed(t *testing.T) {
	put := func(client int, call, ret int64, base, value string, o Outcome, took bool) *Op {
		return &Op{Client: client, Key: "k", Verb: Claimed, Call: call, Ret: ret, Base: base, Value: value, Outcome: o, Took: took}
	}
	read := func(at int64, found string) *Op {
		return &Op{Client: 9, Key: "k", Verb: Get, Call: at, Ret: at + 1, Found: found, Outcome: Done}
	}
	for name, c := range map[string]struct {
		ops []*Op
		ok  bool
	}{
		"one after the other":          {[]*Op{put(1, 1, 2, "", "v1", Done, true), put(2, 3, 4, "v1", "v2", Done, true), read(5, "v2")}, true},
		"a late one that is refused":   {[]*Op{put(1, 1, 2, "", "v1", Done, true), put(2, 3, 4, "", "v2", Done, false), read(5, "v1")}, true},
		"a late one that replaces":     {[]*Op{put(1, 1, 2, "", "v1", Done, true), put(2, 3, 4, "", "v2", Done, true)}, false},
		"a late one that comes late":   {[]*Op{put(2, 1, 2, "", "v2", Unknown, false), put(1, 3, 4, "", "v1", Done, true), read(5, "v1")}, true},
		"a late one that is there":     {[]*Op{put(2, 1, 2, "", "v2", Unknown, false), put(1, 3, 4, "", "v1", Done, true), read(5, "v2")}, false},
		"the same once more":           {[]*Op{put(1, 1, 2, "", "v1", Unknown, false), read(3, "v1"), put(1, 5, 6, "", "v1", Done, true), read(7, "v1")}, true},
		"one that comes twice":         {[]*Op{put(1, 1, 2, "", "v1", Unknown, false), put(1, 3, 4, "", "v1", Done, true), {Client: 3, Key: "k", Verb: Remove, Call: 5, Ret: 6, Took: true, Outcome: Done}, read(7, "v1")}, true},
		"an unknown one that happened": {[]*Op{put(1, 1, 2, "", "v1", Unknown, false), read(3, "v1"), put(2, 5, 6, "v1", "v2", Done, true)}, true},
	} {
		if v := Linearizable(c.ops); (v.CheckResult == "Ok") != c.ok {
			t.Errorf("%s: %s", name, v.CheckResult)
		}
	}
}
