package fill

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
)

// readAll opens a key with what Gather found, and reads it.
func readAll(t *testing.T, f *Filler, k keys.Key, found Found) (string, chunks.Source) {
	t.Helper()
	o, err := f.Open(t.Context(), k, Options{Found: found})
	if err != nil {
		return err.Error(), ""
	}
	defer o.Close()
	var b bytes.Buffer
	if err := o.Send(t.Context(), &b); err != nil {
		t.Error(err)
	}
	return b.String(), o.Source
}

// An owner is asked one question for many keys. What is small comes with the answer, and
// is held under a lease.
func TestGatherAsksOnce(t *testing.T) {
	asker, ring, _, atOwner, atAsker := newPair(t)
	sizes := []int{0, 1000, GatherBytes, testChunk + 5, -1}
	ks := make([]keys.Key, len(sizes))
	for i, size := range sizes {
		if ks[i] = newKey(t); size >= 0 {
			put(t, ks[i], strings.Repeat("x", size))
		}
	}
	for _, want := range []chunks.Source{chunks.S3, chunks.Peer} {
		for _, k := range ks {
			asker.heads.Drop(k) // as after a lease
		}
		asked, stored := ring.asked.Load(), atOwner.asked.Load()
		found := asker.Gather(t.Context(), ks)
		if n := ring.asked.Load() - asked; n != 1 {
			t.Errorf("%d questions for %d keys", n, len(ks))
		}
		if n := atOwner.asked.Load() - stored; want == chunks.Peer && n != 0 {
			t.Errorf("the owner asked the store %d times for what it knows", n)
		}
		for i, size := range sizes[:3] {
			if found[i].Here != (size > 0) {
				t.Errorf("%d bytes are here: %t", size, found[i].Here)
			}
			if got, from := readAll(t, asker, ks[i], found[i]); len(got) != size || size > 0 && from != want {
				t.Errorf("%d bytes from %s, want %d from %s", len(got), from, size, want)
			}
		}
		if n := ring.asked.Load() - asked; n != 1 {
			t.Errorf("%d questions for %d small objects", n, len(ks))
		}
		if got, _ := readAll(t, asker, ks[3], found[3]); len(got) != sizes[3] {
			t.Errorf("%d bytes, want %d", len(got), sizes[3])
		}
		if got, _ := readAll(t, asker, ks[4], found[4]); !strings.Contains(got, "no such object") {
			t.Errorf("%q of what is not there", got)
		}
		for i, k := range ks {
			if _, live, _ := asker.heads.Get(k); !live {
				t.Errorf("key %d is not under a lease", i)
			}
		}
	}
	if n := atAsker.asked.Load(); n != 0 {
		t.Errorf("the asker asked the store %d times", n)
	}
}

// What an owner does not tell, or tells wrongly, is asked for by itself.
func TestGatherFallsBack(t *testing.T) {
	for name, spoil := range map[string]func(*cluster.Answer){
		"an older owner":  func(a *cluster.Answer) { *a = cluster.Answer{Status: http.StatusNotFound} },
		"no JSON":         func(a *cluster.Answer) { a.Text = []byte("{") },
		"too few":         func(a *cluster.Answer) { a.Text = []byte("[null]") },
		"none":            func(a *cluster.Answer) { a.Text = []byte("[null, null]") },
		"other bytes":     func(a *cluster.Answer) { a.Body = bytes.Repeat([]byte("y"), len(a.Body)) },
		"bytes too short": func(a *cluster.Answer) { a.Body = a.Body[:len(a.Body)-1] },
		"bytes swapped": func(a *cluster.Answer) {
			a.Body = append(bytes.Clone(a.Body[1000:]), a.Body[:1000]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			asker, ring, _, _, _ := newPair(t)
			ks := []keys.Key{newKey(t), newKey(t)}
			put(t, ks[0], strings.Repeat("a", 1000))
			put(t, ks[1], strings.Repeat("b", 1000))
			ring.spoil = spoil
			found := asker.Gather(t.Context(), ks)
			ring.spoil = nil
			for i, want := range []string{"a", "b"} {
				if got, _ := readAll(t, asker, ks[i], found[i]); got != strings.Repeat(want, 1000) {
					t.Errorf("%.20q, want %q", got, want)
				}
			}
		})
	}
}

// A key that is dropped while its owner is asked is under no lease afterwards.
func TestGatherKeepsNothingOfWhatWasDropped(t *testing.T) {
	asker, ring, _, _, _ := newPair(t)
	ks := []keys.Key{newKey(t), newKey(t)}
	put(t, ks[0], "one")
	put(t, ks[1], "two")
	ring.spoil = func(*cluster.Answer) { asker.heads.Drop(ks[0]) }
	asker.Gather(t.Context(), ks)
	for i, want := range []bool{false, true} {
		if _, live, _ := asker.heads.Get(ks[i]); live != want {
			t.Errorf("key %d is live: %t, want %t", i, live, want)
		}
	}
}

// An owner says nothing of keys that are not its own, and does not wait for a store that
// hangs.
func TestTellsWhatItOwns(t *testing.T) {
	_, ring, owner, atOwner, _ := newPair(t)
	k := newKey(t)
	put(t, k, "bytes")
	ask := func(text string) cluster.Answer {
		return ring.routes[manyRoute](t.Context(), cluster.Asked{From: "other", Text: text, Body: io.MultiReader()})
	}
	question := `{"Places": ["` + k.Place() + `"], "Chunk": 65536}`
	ringOf(owner).other.Store(true)
	if a := ask(question); a.Status != http.StatusOK || string(a.Text) != "[null]" {
		t.Errorf("of another's key: %d %s", a.Status, a.Text)
	}
	ringOf(owner).other.Store(false)
	hangs := make(chan struct{})
	atOwner.interfere(func() { <-hangs }, nil)
	if a := ask(question); a.Status != http.StatusOK || string(a.Text) != "[null]" {
		t.Errorf("while the store hangs: %d %s", a.Status, a.Text)
	}
	close(hangs)
	if got, _ := readAll(t, owner, k, Found{}); got != "bytes" { // and the lookup is over
		t.Errorf("%q when the store answers", got)
	}
	for _, wrong := range []string{"", "{}}", `{"Places": ["x"], "Chunk": 65536}`, `{"Places": [], "Chunk": 1}`} {
		if a := ask(wrong); a.Status < 400 {
			t.Errorf("%q: %d %s", wrong, a.Status, a.Text)
		}
	}
}
