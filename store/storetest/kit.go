package storetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"larder/store"
)

// bench is a store under test, with a folder of its own in it.
type bench struct {
	store.Store
	*testing.T
	folder string
}

func (s suite) bench(t *testing.T) bench {
	t.Helper()
	folder := strings.NewReplacer("/", "_", " ", "_").Replace(t.Name())
	return bench{Store: s.open(t), T: t, folder: "v1/" + folder + "/"}
}

func (s suite) has(gap Gap) bool { return slices.Contains(s.gaps, gap) }

// tolerates is for the errors of a server that is TornByRaces.
func (s suite) tolerates(err error) bool {
	return s.has(TornByRaces) && errors.Is(err, store.ErrUnavailable)
}

// name is a name of this test's own.
func (b bench) name(rest string) string { return b.folder + rest }

func (b bench) mustPut(name string, body []byte) store.Head {
	b.Helper()
	head, err := b.Put(b.Context(), name, store.Write{Body: body})
	if err != nil {
		b.Fatal(err)
	}
	return head
}

func (b bench) mustGet(name string, want []byte) store.Head {
	b.Helper()
	head, body, err := b.Get(b.Context(), name, 1<<24, nil)
	if err != nil {
		b.Fatal(err)
	}
	if !bytes.Equal(body, want) {
		b.Fatalf("get %s: %d bytes %.40q, want %d bytes %.40q", name, len(body), body, len(want), want)
	}
	if head.Size != int64(len(want)) {
		b.Fatalf("get %s: the size is %d, want %d", name, head.Size, len(want))
	}
	return head
}

func (b bench) mustBeAbsent(name string) {
	b.Helper()
	_, err := b.Head(b.Context(), name)
	b.wantError(err, store.ErrNotFound)
	_, _, err = b.Get(b.Context(), name, 10, nil)
	b.wantError(err, store.ErrNotFound)
	entries, _, err := b.List(b.Context(), name, "", 10)
	if err != nil || len(entries) != 0 {
		b.Fatalf("list %s: %v, %v, want nothing", name, entries, err)
	}
}

// wantError wants the one sentinel and no other.
func (b bench) wantError(err, want error) {
	b.Helper()
	for _, known := range []error{
		store.ErrNotFound, store.ErrPrecondition, store.ErrConflict,
		store.ErrUnavailable, store.ErrUnexpected, store.ErrMetadata,
	} {
		if errors.Is(err, known) != (known == want) {
			b.Fatalf("the error is %q, want %q", err, want)
		}
	}
	if !errors.Is(err, want) {
		b.Fatalf("the error is %q, want %q", err, want)
	}
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// pattern is n bytes that do not repeat with any short period.
func pattern(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i * i >> 3)
	}
	return out
}
