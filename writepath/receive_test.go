package writepath

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// hear is a write of body to k as another node forwards it, and the answer.
func hear(ctx context.Context, t *testing.T, n *node, k keys.Key, body string) reply {
	t.Helper()
	text, err := json.Marshal(forwarded{Place: k.Place(), Op: op{Head: store.Head{ContentType: "text/plain"}}})
	if err != nil {
		t.Fatal(err)
	}
	said := n.path.handleWrite(ctx, cluster.Asked{Text: string(text), Body: strings.NewReader(body), Size: int64(len(body))})
	var answer reply
	if err := json.Unmarshal(said.Text, &answer); err != nil {
		t.Fatalf("%v: %d %s", err, said.Status, said.Text)
	}
	return answer
}

// never is a body that does not come.
type never struct{ t *testing.T }

func (n never) Read([]byte) (int, error) {
	n.t.Error("read a body that is refused")
	return 0, io.ErrUnexpectedEOF
}

// What a member announces is refused before memory is taken for it, and before
// a byte of it is read.
func TestAnnouncedBodiesAreRefused(t *testing.T) {
	n := startNode(t, "alone", time.Minute)
	k := keyOwnedBy(t, n)
	chunk := n.path.cfg.ChunkSize
	for name, c := range map[string]struct {
		op   op
		size int64
	}{
		"a TiB":                     {op{}, 1 << 40},
		"the most that there is":    {op{}, math.MaxInt64},
		"a byte more than a chunk":  {op{}, chunk + 1},
		"a delete with a body":      {op{Delete: true}, 1},
		"a list of parts of a TiB":  {op{InParts: true}, 1 << 40},
		"a list that is a bit long": {op{InParts: true}, maxPartsList + 1},
	} {
		text, err := json.Marshal(forwarded{Place: k.Place(), Op: c.op})
		if err != nil {
			t.Fatal(err)
		}
		said := n.path.handleWrite(t.Context(), cluster.Asked{Text: string(text), Body: never{t}, Size: c.size})
		if said.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, said.Status, said.Text)
		}
	}
	if held := n.path.uploads.bodies.Held(); held != 0 || get(t, n, k) != "" {
		t.Errorf("%d bytes are held, or something was written", held)
	}
}

// A short list does not become one of a million parts.
func TestListsOfPartsAreBounded(t *testing.T) {
	var p parts
	long := `{"Parts":[` + strings.Repeat("{},", store.MaxParts) + "{}]}"
	if err := json.Unmarshal([]byte(long), &p); err == nil || len(p.Parts) > store.MaxParts {
		t.Errorf("%d parts, %v", len(p.Parts), err)
	}
	most := parts{Upload: store.Upload{Name: "n", ID: "i"}, Parts: make([]store.Part, store.MaxParts)}
	text, err := json.Marshal(most)
	if err != nil {
		t.Fatal(err)
	}
	p = parts{}
	if err := json.Unmarshal(text, &p); err != nil || !reflect.DeepEqual(p, most) {
		t.Errorf("%d parts, %v", len(p.Parts), err)
	}
	if err := json.Unmarshal([]byte(`{"Parts":{}}`), &p); err == nil {
		t.Error("took what is no list")
	}
}

// An owner takes no body that it has no memory for, and says that nothing was written.
func TestForwardedBodiesAreBounded(t *testing.T) {
	n := startNode(t, "alone", time.Minute)
	k := keyOwnedBy(t, n)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	others, err := n.path.uploads.bodies.Take(t.Context(), "others", n.path.uploads.bodies.Most())
	if err != nil {
		t.Fatal(err)
	}
	if r := hear(impatient, t, n, k, "too much"); !errors.Is(r.failure(), ErrNotApplied) {
		t.Errorf("%+v", r)
	}
	if got := get(t, n, k); got != "" {
		t.Errorf("%q was written", got)
	}
	others.Release()
	for range 2 { // which gives back what it took
		if r := hear(t.Context(), t, n, k, "v1"); r.failure() != nil {
			t.Errorf("%+v", r)
		}
	}
	if got := get(t, n, k); got != "v1" {
		t.Errorf("read %q", got)
	}
	if held := n.path.uploads.bodies.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
