package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/store"
)

// Uploader is a store that takes uploads in parts.
type Uploader interface {
	store.Store
	store.Uploads
}

// RunUploads tests the uploads of the stores that open makes, as Run does.
func RunUploads(t *testing.T, open func(t *testing.T) Uploader, gaps ...Gap) {
	s := uploads{suite: suite{gaps: gaps}, open: open}
	for _, group := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"Whole", s.whole},
		{"Head", s.head},
		{"Overwrite", s.overwrite},
		{"Ranges", s.ranges},
		{"Refused", s.refused},
		{"Forgotten", s.forgotten},
		{"Conditions", s.uploadConditions},
		{"Race", s.race},
		{"Abandoned", s.abandoned},
		{"Names", s.uploadNames},
		{"Cancel", s.uploadCancel},
	} {
		t.Run(group.name, group.test)
	}
}

type uploads struct {
	suite
	open func(t *testing.T) Uploader
}

type uploadBench struct {
	bench
	store.Uploads
}

func (s uploads) bench(t *testing.T) uploadBench {
	t.Helper()
	opened := s.open(t)
	plain := suite{open: func(*testing.T) store.Store { return opened }}
	return uploadBench{bench: plain.bench(t), Uploads: opened}
}

func (b uploadBench) mustBegin(name string, h store.Head) store.Upload {
	b.Helper()
	u, err := b.Begin(b.Context(), name, h)
	if err != nil {
		b.Fatal(err)
	}
	if u.Name != name || u.ID == "" || time.Since(u.Began).Abs() > time.Minute {
		b.Fatalf("the upload is %+v", u)
	}
	return u
}

// mustStore stores all parts at once, the last first, and gives them in order.
func (b uploadBench) mustStore(u store.Upload, bodies ...[]byte) []store.Part {
	b.Helper()
	parts := make([]store.Part, len(bodies))
	var all sync.WaitGroup
	for i := range slices.Backward(bodies) {
		all.Go(func() {
			var err error
			if parts[i], err = b.Part(b.Context(), u, i+1, bodies[i]); err != nil {
				b.Error(err)
			}
			if parts[i].Number != i+1 || parts[i].Tag == "" || parts[i].Size != int64(len(bodies[i])) {
				b.Errorf("the part is %+v", parts[i])
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return parts
}

func (b uploadBench) mustComplete(u store.Upload, parts []store.Part) store.Head {
	b.Helper()
	head, err := b.Complete(b.Context(), u, parts, store.Conditions{})
	if err != nil {
		b.Fatal(err)
	}
	return head
}

// parts are bodies of these sizes, each of which is different.
func parts(sizes ...int) [][]byte {
	bodies := make([][]byte, 0, len(sizes))
	for i, size := range sizes {
		body := pattern(size)
		body[0] = byte(i)
		bodies = append(bodies, body)
	}
	return bodies
}

func (s uploads) whole(t *testing.T) {
	for name, sizes := range map[string][]int{
		"One":       {store.MinPart + 1},
		"OneSmall":  {1},
		"Three":     {store.MinPart, store.MinPart + 1, store.MinPart + 2},
		"LastOfOne": {store.MinPart, store.MinPart, 1},
		"Differing": {store.MinPart + 77, store.MinPart, 99},
		"EightMiB":  {8 << 20, 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			b, bodies := s.bench(t), parts(sizes...)
			u := b.mustBegin(b.name("a"), store.Head{})
			b.mustBeAbsent(b.name("a"))
			stored := b.mustStore(u, bodies...)
			b.mustBeAbsent(b.name("a"))
			head := b.mustComplete(u, stored)
			if head.Digest != "" || head.ContentType == "" || time.Since(head.Modified).Abs() > time.Minute {
				t.Errorf("the head is %+v", head)
			}
			b.wantHead(b.mustGet(b.name("a"), bytes.Join(bodies, nil)), head)
			entries, _, err := b.List(b.Context(), b.folder, "", 10)
			if err != nil || len(entries) != 1 || entries[0].Version != head.Version || entries[0].Size != head.Size {
				t.Errorf("listed %+v, %v", entries, err)
			}
			if err := b.Abort(b.Context(), u); err != nil {
				t.Errorf("abort after complete: %v", err)
			}
			b.wantHead(b.mustGet(b.name("a"), bytes.Join(bodies, nil)), head)
			b.wantUploads("")
		})
	}
	t.Run("Replaced", func(t *testing.T) {
		b, bodies := s.bench(t), parts(store.MinPart, 10)
		u := b.mustBegin(b.name("a"), store.Head{})
		b.mustStore(u, pattern(store.MinPart+5), []byte("other"))
		b.mustComplete(u, b.mustStore(u, bodies...))
		b.mustGet(b.name("a"), bytes.Join(bodies, nil))
	})
	t.Run("Some", func(t *testing.T) {
		b, bodies := s.bench(t), parts(store.MinPart, store.MinPart, 10)
		u := b.mustBegin(b.name("a"), store.Head{})
		stored := b.mustStore(u, bodies...)
		b.mustComplete(u, []store.Part{stored[0], stored[2]})
		b.mustGet(b.name("a"), append(slices.Clone(bodies[0]), bodies[2]...))
	})
}

func (s uploads) head(t *testing.T) {
	modified := time.Date(2022, 1, 30, 12, 0, 1, 0, time.UTC)
	t.Run("Kept", func(t *testing.T) {
		b, bodies := s.bench(t), parts(store.MinPart, 7)
		whole := bytes.Join(bodies, nil)
		want := store.Head{
			Digest: digest(whole), ContentType: "application/x-pickle", Writer: "Zoë", Modified: modified,
			Meta: map[string]string{"fund": "DAX", "note": "Größe in €"},
		}
		u := b.mustBegin(b.name("a"), want)
		head := b.mustComplete(u, b.mustStore(u, bodies...))
		want.Version, want.Size = head.Version, int64(len(whole))
		b.wantHead(head, want)
		b.wantHead(b.mustGet(b.name("a"), whole), want)
	})
	t.Run("Refused", func(t *testing.T) {
		b := s.bench(t)
		for name, head := range map[string]store.Head{
			"reserved": {Meta: map[string]string{"larder-sha256": "x"}},
			"too big":  {Meta: map[string]string{"a": strings.Repeat("x", 2048)}},
			"digest":   {Digest: "beef"},
			"type":     {ContentType: "text/plain\r\nX-Amz-Acl: public"},
		} {
			if _, err := b.Begin(b.Context(), b.name("a"), head); !errors.Is(err, store.ErrMetadata) {
				t.Errorf("%s: the error is %v", name, err)
			}
		}
		b.wantUploads("")
	})
}

func (s uploads) overwrite(t *testing.T) {
	b, bodies := s.bench(t), parts(store.MinPart, 7)
	b.mustPut(b.name("a"), []byte("old"))
	u := b.mustBegin(b.name("a"), store.Head{})
	stored := b.mustStore(u, bodies...)
	b.mustGet(b.name("a"), []byte("old"))
	head := b.mustComplete(u, stored)
	b.wantHead(b.mustGet(b.name("a"), bytes.Join(bodies, nil)), head)
	b.mustPut(b.name("a"), []byte("new"))
	b.mustGet(b.name("a"), []byte("new"))
}

func (s uploads) ranges(t *testing.T) {
	b, bodies := s.bench(t), parts(store.MinPart, store.MinPart+3, 1000)
	whole := bytes.Join(bodies, nil)
	u := b.mustBegin(b.name("a"), store.Head{})
	head := b.mustComplete(u, b.mustStore(u, bodies...))
	const border = store.MinPart
	for _, r := range [][2]int64{
		{0, 1}, {border - 1, 1}, {border, 1}, {border - 1, 2}, {border - 10, 100}, {1, 2 * border},
		{2*border + 2, 2}, {head.Size - 1001, 1001}, {head.Size - 1, 1}, {0, head.Size},
	} {
		_, got, err := b.GetRange(b.Context(), b.name("a"), head.Version, r[0], r[1])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, whole[r[0]:r[0]+r[1]]) {
			t.Fatalf("range %v: other bytes", r)
		}
	}
	_, _, err := b.GetRange(b.Context(), b.name("a"), head.Version, head.Size-1, 2)
	b.wantError(err, store.ErrUnexpected)

	bodies[1][17]++
	u = b.mustBegin(b.name("a"), store.Head{})
	next := b.mustComplete(u, b.mustStore(u, bodies...))
	if next.Version == head.Version {
		t.Errorf("the version %s stays the same", next.Version)
	}
	_, _, err = b.GetRange(b.Context(), b.name("a"), head.Version, border-1, 2)
	b.wantError(err, store.ErrPrecondition)
}

// refused tries what must not become an object.
func (s uploads) refused(t *testing.T) {
	many := make([]store.Part, store.MaxParts)
	for i := range many {
		many[i] = store.Part{Number: i + 1, Tag: strings.Repeat("0123456789abcdef", 2), Size: store.MinPart, Checksum: "AAAAAA=="}
	}
	for name, listed := range map[string]func(stored []store.Part) []store.Part{
		"Missing": func(p []store.Part) []store.Part {
			return append(p, store.Part{Number: 3, Tag: p[0].Tag, Checksum: p[0].Checksum})
		},
		"Many":     func([]store.Part) []store.Part { return many },
		"WrongTag": func(p []store.Part) []store.Part { p[0].Tag = p[1].Tag; return p },
		"Order":    func(p []store.Part) []store.Part { return []store.Part{p[1], p[0]} },
		"None":     func([]store.Part) []store.Part { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := s.bench(t)
			b.mustPut(b.name("a"), []byte("old"))
			u := b.mustBegin(b.name("a"), store.Head{})
			stored := b.mustStore(u, parts(store.MinPart, store.MinPart)...)
			_, err := b.Complete(b.Context(), u, listed(stored), store.Conditions{})
			b.wantError(err, store.ErrUnexpected)
			b.mustGet(b.name("a"), []byte("old"))
			if err := b.Abort(b.Context(), u); err != nil {
				t.Error(err)
			}
			b.wantUploads("")
		})
	}
	t.Run("Small", func(t *testing.T) {
		b := s.bench(t)
		u := b.mustBegin(b.name("a"), store.Head{})
		_, err := b.Complete(b.Context(), u, b.mustStore(u, parts(store.MinPart-1, 1)...), store.Conditions{})
		b.wantError(err, store.ErrUnexpected)
		b.mustBeAbsent(b.name("a"))
	})
	t.Run("Numbers", func(t *testing.T) {
		b := s.bench(t)
		u := b.mustBegin(b.name("a"), store.Head{})
		for _, n := range []int{-1, 0, store.MaxParts + 1} {
			_, err := b.Part(b.Context(), u, n, []byte("x"))
			b.wantError(err, store.ErrUnexpected)
		}
		last, err := b.Part(b.Context(), u, store.MaxParts, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		b.mustComplete(u, []store.Part{last})
		b.mustGet(b.name("a"), []byte("x"))
	})
}

// forgotten uses uploads that are not there, beside an object that is.
func (s uploads) forgotten(t *testing.T) {
	if s.has(LosesUploads) {
		return
	}
	b := s.bench(t)
	u := b.mustBegin(b.name("a"), store.Head{})
	stored := b.mustStore(u, []byte("aborted"))
	for range 2 {
		if err := b.Abort(b.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	b.mustBeAbsent(b.name("a"))
	b.wantUploads("")
	for _, there := range []bool{false, true} {
		if there {
			b.mustPut(b.name("a"), []byte("old"))
		}
		_, err := b.Part(b.Context(), u, 1, []byte("x"))
		b.wantError(err, store.ErrNotFound)
		_, err = b.Complete(b.Context(), u, stored, store.Conditions{})
		b.wantError(err, store.ErrNotFound)
		_, err = b.Complete(b.Context(), u, stored, store.Conditions{IfMatch: "0123"})
		b.wantError(err, store.ErrNotFound)
		b.wantUploads("")
	}
	b.mustGet(b.name("a"), []byte("old"))
}

// wantUploads wants uploads of these names under a prefix of the test's own.
func (b uploadBench) wantUploads(prefix string, want ...string) []store.Upload {
	b.Helper()
	found, err := b.Abandoned(b.Context(), b.name(prefix), time.Now().Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	got := make([]string, 0, len(found))
	for _, u := range found {
		got = append(got, strings.TrimPrefix(u.Name, b.folder))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.Fatalf("the uploads under %q are %q, want %q", prefix, fmt.Sprint(got), want)
	}
	return found
}
