package fill

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// where asks self and other where an object is.
func where(t *testing.T, f *Filler, k keys.Key, h store.Head) (int, []Where) {
	t.Helper()
	of, all, err := f.Where(t.Context(), "self", []cluster.Member{{Name: "self", ID: "self"}, {Name: "other", ID: "other"}}, k, h)
	if err != nil {
		t.Fatal(err)
	}
	return of, all
}

// Each node says how many of an object's chunks it has: those of the version that is asked
// for. To look is no read of it.
func TestWhere(t *testing.T) {
	f, _, owner, atOwner, atAsker := newPair(t)
	k := newKey(t)
	h := put(t, k, strings.Repeat("x", 2*testChunk+1))
	for _, tt := range []struct {
		what          string
		before        func()
		other, memory int
	}{
		{"nobody has read it", func() {}, 0, 0},
		{"the owner has", func() { read(t, owner, k) }, 3, 0},
		{"both have", func() { read(t, f, k); read(t, f, k); read(t, f, k) }, 3, 3}, // what is wanted again is kept
	} {
		tt.before()
		asked := atOwner.asked.Load() + atAsker.asked.Load()
		of, all := where(t, f, k, h)
		want := []Where{
			{Node: "other", Owner: true, Answers: true, Kept: chunks.Kept{Memory: tt.other}},
			{Node: "self", Answers: true, Kept: chunks.Kept{Memory: tt.memory}},
		}
		if of != 3 || !reflect.DeepEqual(all, want) {
			t.Errorf("%s: of %d chunks %+v, want %+v", tt.what, of, all, want)
		}
		if n := atOwner.asked.Load() + atAsker.asked.Load() - asked; n != 0 {
			t.Errorf("%s: the store was asked %d times", tt.what, n)
		}
	}
	h = put(t, k, strings.Repeat("y", 2*testChunk+1))
	if _, all := where(t, f, k, h); all[0].Memory+all[1].Memory != 0 {
		t.Errorf("what was written anew is where the last version is: %+v", all)
	}
}

// A node that gives no answer, or none that can be read, has said nothing.
func TestWhereWithoutAnAnswer(t *testing.T) {
	f, _, ring := newFiller(t, nil)
	k := newKey(t)
	h := put(t, k, "value")
	read(t, f, k)
	for what, answer := range map[string]*cluster.Answer{
		"no connection": nil,
		"refused":       {Status: http.StatusInternalServerError, Body: []byte(`{"memory":1}`)},
		"no JSON":       {Status: http.StatusOK, Body: []byte("memory")},
	} {
		ring.answer.Store(answer)
		want := []Where{{Node: "other"}, {Node: "self", Owner: true, Answers: true, Kept: chunks.Kept{Memory: 1}}}
		if of, all := where(t, f, k, h); of != 1 || !reflect.DeepEqual(all, want) {
			t.Errorf("%s: of %d chunks %+v, want %+v", what, of, all, want)
		}
	}
}

// Of an object of many chunks the first are looked for.
func TestWhereIsBounded(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	if of, _ := where(t, f, newKey(t), store.Head{Version: "v", Size: 1 << 50}); of != maxWhere {
		t.Errorf("%d chunks are looked for, want %d", of, maxWhere)
	}
}

func TestWhereRefusesWhatIsNoQuestion(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	place, err := json.Marshal(whereAsked{Place: "v1/acme", Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string][]byte{"no JSON": []byte("where"), "no key": place, "too long": make([]byte, maxWhereText+1)} {
		a := f.handleWhere(t.Context(), cluster.Asked{Body: bytes.NewReader(body), Size: int64(len(body))})
		if a.Status == http.StatusOK {
			t.Errorf("%s: answered %s", what, a.Body)
		}
	}
}
