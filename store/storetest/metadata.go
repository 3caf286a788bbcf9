package storetest

import (
	"maps"
	"strings"
	"testing"
	"time"

	"larder/store"
)

func (s suite) metadata(t *testing.T) {
	t.Run("Values", func(t *testing.T) {
		b := s.bench(t)
		for name, value := range map[string]string{
			"plain": "2022-01-30T00:00:00+00:00", "spaces": "  two  and  two  ", "empty": "", "percent": "100%41 %", "only-percent": "%",
			"umlaut": "Größe in €", "japanese": "日経平均", "emoji": "🥫", "latin1": "caf\xe9", "control": "tab\tline\nnul\x00del\x7f",
			"quotes": `"a\b'c`, "word": "=?UTF-8?B?w6k=?=", "xml": "<a&b>", "comma": "a, b; c=d", "long": strings.Repeat("x", 1500),
		} {
			meta := map[string]string{name: value, "other": "plain 100%"}
			head := store.Head{Meta: meta, Writer: "ann"}
			put, err := b.Put(b.Context(), b.name(name), store.Write{Head: head})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			b.wantMeta(put, meta)
			b.wantMeta(b.mustGet(b.name(name), nil), meta)
			got, err := b.Head(b.Context(), b.name(name))
			if err != nil {
				t.Fatal(err)
			}
			b.wantMeta(got, meta)
		}
	})
	t.Run("Writers", func(t *testing.T) {
		b := s.bench(t)
		for _, writer := range []string{"ann", "ann%41", "Zoë Müller", "", " a "} {
			head := store.Head{Writer: writer, Meta: map[string]string{"a": "b"}}
			if _, err := b.Put(b.Context(), b.name("a"), store.Write{Head: head}); err != nil {
				t.Fatal(err)
			}
			if got := b.mustGet(b.name("a"), nil); got.Writer != writer {
				t.Errorf("the writer is %q, want %q", got.Writer, writer)
			}
		}
	})
	t.Run("Names", func(t *testing.T) {
		b := s.bench(t)
		meta := map[string]string{"a": "1", "with-dash": "2", "0": "3", "with.dot": "4", "sha256": "5"}
		if !s.has(DropsUnderscores) {
			meta["with_line"] = "6"
		}
		if _, err := b.Put(b.Context(), b.name("a"), store.Write{Head: store.Head{Meta: meta}}); err != nil {
			t.Fatal(err)
		}
		b.wantMeta(b.mustGet(b.name("a"), nil), meta)
	})
	s.moments(t)
	s.metadataLimits(t)
}

func (s suite) moments(t *testing.T) {
	t.Run("Moments", func(t *testing.T) {
		b := s.bench(t)
		for _, moment := range []time.Time{{}, time.Unix(1767225600, 0).UTC(), time.Unix(1<<33, 0).UTC()} {
			head := store.Head{Expires: moment, Write: store.NewWriteName()}
			put, err := b.Put(b.Context(), b.name("a"), store.Write{Head: head})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.mustGet(b.name("a"), nil); !got.Expires.Equal(moment) || !put.Expires.Equal(moment) || got.Write != head.Write {
				t.Errorf("expires at %s, write %s; want %s and %s", got.Expires, got.Write, moment, head.Write)
			}
		}
	})
}

func (s suite) metadataLimits(t *testing.T) {
	t.Run("Refused", func(t *testing.T) {
		b := s.bench(t)
		for name, head := range map[string]store.Head{
			"reserved":  {Meta: map[string]string{"larder-sha256": "x"}},
			"reserved2": {Meta: map[string]string{"larder-": "x"}},
			"capital":   {Meta: map[string]string{"Fund": "x"}},
			"no name":   {Meta: map[string]string{"": "x"}},
			"space":     {Meta: map[string]string{"a b": "x"}},
			"line":      {Meta: map[string]string{"a\r\nb": "x"}},
			"unicode":   {Meta: map[string]string{"größe": "x"}},
			"too big":   {Meta: map[string]string{"a": strings.Repeat("x", 2048)}},
			"encoded":   {Meta: map[string]string{"a": strings.Repeat("é", 500)}},
			"writer":    {Writer: strings.Repeat("x", 3000)},
			"type":      {ContentType: "text/plain\r\nX-Amz-Acl: public"},
		} {
			_, err := b.Put(b.Context(), b.name("a"), store.Write{Head: head})
			if err == nil {
				t.Errorf("%s was taken", name)
				continue
			}
			b.wantError(err, store.ErrMetadata)
		}
		b.mustBeAbsent(b.name("a"))
	})
	t.Run("Largest", func(t *testing.T) {
		b := s.bench(t)
		meta := map[string]string{}
		for i := range 16 {
			meta["name-"+string(rune('a'+i))] = strings.Repeat(`"`, 25) + strings.Repeat("<", 25) + strings.Repeat("a", 40)
		}
		if _, err := b.Put(b.Context(), b.name("a"), store.Write{Head: store.Head{Meta: meta}}); err != nil {
			t.Fatal(err)
		}
		b.wantMeta(b.mustGet(b.name("a"), nil), meta)
	})
}

func (b bench) wantMeta(head store.Head, want map[string]string) {
	b.Helper()
	if !maps.Equal(head.Meta, want) {
		b.Errorf("the metadata is %q, want %q", head.Meta, want)
	}
}

func (b bench) wantHead(got, want store.Head) {
	b.Helper()
	b.wantMeta(got, want.Meta)
	if got.Version != want.Version || got.Size != want.Size || got.ContentType != want.ContentType ||
		got.Digest != want.Digest || got.Writer != want.Writer || !got.Modified.Equal(want.Modified) {
		b.Errorf("the head is %+v, want %+v", got, want)
	}
	if strings.Contains(got.Version, `"`) || got.Version == "" {
		b.Errorf("the version is %q", got.Version)
	}
}
